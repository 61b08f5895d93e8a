"""The HTML template of DVC's page of plots, with the JavaScript that draws them inside."""

from html import escape
from string import Template

import vl_convert

# DVC's page calls this name. Its charts are for version 5 of Vega-Lite; version 6 reads them too,
# with a warning unless they say 6. Of a report that is no table, it has an empty chart.
SNIPPET = """\
window.vegaEmbed = (place, chart) => chart.$schema
  ? vegaEmbed(place, {...chart, $schema: chart.$schema.replace("/vega-lite/v5.", "/vega-lite/v6.")})
  : document.querySelector(place).remove();
"""
VEGA_LITE = "6.4"
# DVC writes divisions without classes, and pictures with styles of their own: hence the selectors
# and `!important`.
PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --page: #f3f4f6; --ink: #1f2328; --edge: #d5d9de; }
@media (prefers-color-scheme: dark) { :root { --page: #16191d; --ink: #e6e8eb; --edge: #16191d; } }
body {
  margin: 0; padding: 1rem; background: var(--page); color: var(--ink); font: 1rem/1.5 sans-serif;
}
h1 { margin: 0 0 1rem; font-size: 1.4rem; overflow-wrap: anywhere; }
main { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
/* Charts and pictures are drawn for white; what is too wide for a phone scrolls in its card. */
main > div {
  box-sizing: border-box; max-width: 100%; overflow-x: auto; padding: 1rem !important;
  border: 1px solid var(--edge) !important; border-radius: .5rem;
  background: #fff; color: #1f2328; color-scheme: light;
}
main > div.vega-embed { padding-right: 3rem !important; }
main > div:has(img) {
  display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start;
  white-space: normal !important;
}
main > div > p { flex: 1 0 100%; margin: 0; font-weight: bold; overflow-wrap: anywhere; }
/* Two revisions' pictures stand side by side where there is room. */
main > div > div:has(img) {
  flex: 1 1 25rem; max-width: 100%; margin: 0 !important; border: 0 !important;
}
main > div > div > p { margin: 0; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
</style>
<!-- In a function, so that the libraries' names do not collide with those of the plots. -->
<script>
(() => { $libraries })();
</script>
</head>
<body>
<h1>$title</h1>
<main>
{plot_divs}
</main>
</body>
</html>
""")


def plots_template(title: str) -> str:
    """Return the page, with ``{plot_divs}`` where DVC puts the plots.

    Vega, Vega-Lite and Vega-Embed are inside, so the page needs no network.
    """
    libraries = vl_convert.javascript_bundle(SNIPPET, VEGA_LITE)
    return PAGE.substitute(title=escape(title), libraries=libraries)
