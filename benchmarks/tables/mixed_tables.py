"""Random tables of mixed columns with a known structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

#: The column to predict.
TARGET = "y"
#: How far the score of a raw table may be behind that of the better pipeline.
TOLERANCE = 0.02


@dataclass(frozen=True)
class MixedTable:
    """A table of mixed columns."""

    name: str
    #: Makes so many rows.
    make: Callable[[int], pd.DataFrame]
    rows: int
    #: Whether the target is a number; otherwise it is one of two classes.
    regression: bool = False

    def split(self, rows: int | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows to train on, and 3 of 10 to test on.

        :param rows: of both together. Default: :attr:`rows`.
        """
        train, test = train_test_split(self.make(rows or self.rows), test_size=0.3, random_state=0)
        return train, test


def _levels(random: np.random.Generator, values: npt.NDArray[np.object_], spread: float) -> npt.NDArray[np.float64]:
    """A random number for each different value."""
    names, codes = np.unique(values, return_inverse=True)
    return random.normal(0, spread, len(names))[codes]


def _with_holes(random: np.random.Generator, values: npt.NDArray[np.generic], share: float) -> npt.NDArray[np.object_]:
    """The values, some of which are missing."""
    holed = values.astype(object)
    holed[random.random(len(values)) < share] = None
    return holed


def make_incomes(rows: int) -> pd.DataFrame:
    """Numbers, of which some are missing or skewed, categories and a boolean, as in a census."""
    random = np.random.default_rng(0)
    age = random.integers(17, 80, rows).astype(float)
    schools = {"HS": -1.0, "Some-college": -0.3, "Bachelors": 0.8, "Masters": 1.3, "Doctorate": 2.0}
    education = random.choice(list(schools), rows, p=[0.4, 0.25, 0.2, 0.12, 0.03])
    occupation = random.choice([f"occ-{number}" for number in range(14)], rows)
    gain = np.where(random.random(rows) < 0.1, random.lognormal(8, 1.5, rows), 0)
    hours = np.clip(random.normal(40, 12, rows), 1, 99)
    score = -(((age - 48) / 15) ** 2) + np.vectorize(schools.get)(education) + _levels(random, occupation, 1.0)
    score += np.log1p(gain) / 4 + (hours - 40) / 15 + random.logistic(0, 0.5, rows)
    age[random.random(rows) < 0.05] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "education": education,
            "occupation": _with_holes(random, occupation, 0.06),
            "gain": gain,
            "hours": hours,
            "country": random.choice(["US"] * 18 + ["MX", "CA"], rows),
            "married": random.random(rows) > 0.5,
            TARGET: np.where(score > 0.2, ">50K", "<=50K"),
        }
    )


def make_passengers(rows: int) -> pd.DataFrame:
    """Few columns, many missing ages, a class as a number, as of the Titanic."""
    random = np.random.default_rng(1)
    sex, grade = random.choice(["male", "female"], rows), random.choice([1, 2, 3], rows, p=[0.25, 0.2, 0.55])
    age, fare = np.abs(random.normal(30, 14, rows)), random.lognormal(4 - grade * 0.7, 0.6, rows)
    score = 2.2 * (sex == "female") - (grade - 2.0) - (age - 30) / 25 + (age < 10) * 1.5 - 0.3
    score += random.logistic(0, 0.7, rows)
    age[random.random(rows) < 0.2] = np.nan
    return pd.DataFrame(
        {
            "sex": sex,
            "class": grade,
            "age": age,
            "fare": fare,
            "port": _with_holes(random, random.choice(["S", "C", "Q"], rows, p=[0.72, 0.2, 0.08]), 0.02),
            TARGET: np.where(score > 0.3, "survived", "died"),
        }
    )


def make_rides(rows: int) -> pd.DataFrame:
    """Hours of two years, weather and 60 stations, as of rented bikes."""
    random = np.random.default_rng(2)
    when = pd.Timestamp("2022-01-01") + pd.to_timedelta(random.integers(0, 2 * 365 * 24, rows), unit="h")
    weather = random.choice(["clear", "mist", "rain"], rows, p=[0.6, 0.3, 0.1])
    season = np.cos(2 * np.pi * (when.day_of_year.to_numpy() - 20) / 365)
    temperature = 15 - 12 * season + random.normal(0, 4, rows)
    station = random.choice([f"station-{number:03}" for number in range(60)], rows)
    hour, weekend = when.hour.to_numpy(), when.day_of_week.to_numpy() > 4
    score = (
        1.2 * np.exp(-(((hour - 8) / 2) ** 2)) * ~weekend + 1.5 * np.exp(-(((hour - 17) / 2.5) ** 2)) + 0.4 * weekend
    )
    score += (temperature - 15) / 10 - 2.0 * (weather == "rain") + _levels(random, station, 0.8)
    score += random.logistic(0, 0.35, rows)
    temperature[random.random(rows) < 0.08] = np.nan
    return pd.DataFrame(
        {
            "when": when,
            "weather": weather,
            "temperature": temperature,
            "station": station,
            TARGET: np.where(score > 0.5, "busy", "quiet"),
        }
    )


def make_flats(rows: int) -> pd.DataFrame:
    """Prices of flats, by 40 districts, a skewed area, a date, and missing years."""
    random = np.random.default_rng(3)
    sold = pd.Timestamp("2018-01-01") + pd.to_timedelta(random.integers(0, 6 * 365, rows), unit="D")
    area, floor = random.lognormal(4.2, 0.5, rows), random.integers(0, 12, rows)
    year = random.integers(1900, 2020, rows).astype(float)
    district = random.choice([f"district {number}" for number in range(40)], rows)
    grades = {"A": 0.2, "B": 0.12, "C": 0.0, "D": -0.05, "E": -0.2}
    energy = random.choice(list(grades), rows)
    score = 0.9 * np.log(area) + _levels(random, district, 0.3) + 0.004 * (year - 1960) + 0.015 * floor
    score += np.vectorize(grades.get)(energy) + (sold - sold.min()).days.to_numpy() / 365 * 0.06
    score += 0.15 * random.normal(size=rows)
    year[random.random(rows) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "sold": sold,
            "area": area,
            "floor": floor,
            "year": year,
            "district": district,
            "energy": _with_holes(random, energy, 0.15),
            "lift": random.random(rows) < 0.5,
            TARGET: score,
        }
    )


TABLES = (
    MixedTable("incomes", make_incomes, 6_000),
    MixedTable("passengers", make_passengers, 4_000),
    MixedTable("rides", make_rides, 6_000),
    MixedTable("flats", make_flats, 6_000, regression=True),
)
