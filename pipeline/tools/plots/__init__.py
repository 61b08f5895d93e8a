"""DVC's page of plots, with the libraries that draw them inside."""
