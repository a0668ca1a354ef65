"""``mlp`` on raw tables of mixed columns against scikit-learn with an encoding by hand."""
