"""DVC's page of plots, with the JavaScript that draws them inside the page."""
