"""Image files as datasets: folders, archives and columns of encoded images."""
