"""scikit-learn's pipelines on tables of mixed columns, with an encoding by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from benchmarks.tables.mixed_tables import TARGET


def encoded(frame: pd.DataFrame) -> pd.DataFrame:
    """The features as one encodes them by hand: dates in parts, and missing categories as one."""
    columns: dict[str, pd.Series[float] | pd.Series[str]] = {}
    for name in frame.columns.drop(TARGET):
        column = frame[name]
        if column.dtype.kind == "M":
            hours = 2 * np.pi * column.dt.hour / 24
            columns[f"{name}_day"] = (column - pd.Timestamp("2020-01-01")) / pd.Timedelta(days=1)
            columns[f"{name}_year_day"] = column.dt.day_of_year.astype(float)
            columns[f"{name}_weekday"] = column.dt.day_of_week.astype(str)
            columns[f"{name}_hour"] = column.dt.hour.astype(float)
            columns[f"{name}_sine"], columns[f"{name}_cosine"] = np.sin(hours), np.cos(hours)
        elif column.dtype.kind in "bif":
            columns[name] = column.astype(float)
        else:
            columns[name] = column.astype(object).where(column.notna(), "?").astype(str)
    return pd.DataFrame(columns)


def pipelines(features: pd.DataFrame, *, regression: bool) -> dict[str, Pipeline]:
    """Boosted trees, and a network of one layer of 64, each with the encoding that suits it."""
    numbers = [name for name in features if features[name].dtype.kind == "f"]
    categories = [name for name in features if name not in numbers]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    boosting, network = (
        (HistGradientBoostingRegressor(random_state=0), MLPRegressor)
        if regression
        else (HistGradientBoostingClassifier(random_state=0), MLPClassifier)
    )
    return {
        "boosted trees": make_pipeline(make_column_transformer((codes, categories), remainder="passthrough"), boosting),
        "network": make_pipeline(
            make_column_transformer((OneHotEncoder(handle_unknown="ignore"), categories), (scaled, numbers)),
            network(hidden_layer_sizes=(64,), early_stopping=True, max_iter=1000, random_state=0),
        ),
    }


def by_hand(train: pd.DataFrame, test: pd.DataFrame, *, regression: bool) -> dict[str, float]:
    """The accuracy of each pipeline on the rows to test on; of a regression, R²."""
    features, others = encoded(train), encoded(test)
    return {
        name: float(pipeline.fit(features, train[TARGET]).score(others, test[TARGET]))
        for name, pipeline in pipelines(features, regression=regression).items()
    }
