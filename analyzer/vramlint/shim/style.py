"""The look of HTML in a notebook: JupyterLab's own colours where there are any, else light or dark by the system.

`!important` stands where JupyterLab and nbconvert lay out all tables of outputs.
"""

from __future__ import annotations

_CSS = """
.vramlint{--v-text:var(--jp-content-font-color1,#1c1e21);--v-faint:var(--jp-content-font-color2,#5c6066);
--v-line:var(--jp-border-color2,#d8dbdf);--v-card:var(--jp-layout-color1,#fff);--v-good:#2e7d32;--v-bad:#c62828;
--v-doubt:#9a6700;color:var(--v-text);background:var(--v-card);max-width:760px;padding:4px 8px;
font:13px/1.45 system-ui,sans-serif}
@media (prefers-color-scheme:dark){.vramlint{--v-text:var(--jp-content-font-color1,#e6e8eb);
--v-faint:var(--jp-content-font-color2,#a2a8af);--v-line:var(--jp-border-color2,#3c4147);
--v-card:var(--jp-layout-color1,#17191c);--v-good:#7cc47f;--v-bad:#ff8a80;--v-doubt:#e3b341}}
body[data-jp-theme-light=true] .vramlint{--v-good:#2e7d32;--v-bad:#c62828;--v-doubt:#9a6700}
body[data-jp-theme-light=false] .vramlint,html[theme=dark] .vramlint{--v-good:#7cc47f;--v-bad:#ff8a80;--v-doubt:#e3b341}
html[theme=dark] .vramlint{--v-text:#e6e8eb;--v-faint:#a2a8af;--v-line:#3c4147;--v-card:#17191c}
.vramlint h4{margin:10px 0 4px;font-size:13px}
.vramlint table{border-collapse:collapse;margin:0;font-size:12px;color:inherit}
.vramlint tr{background:none!important}
.vramlint td,.vramlint th{padding:2px 8px 2px 0;text-align:left!important;vertical-align:top;background:none;
color:inherit;border:0;max-width:none;white-space:normal}
.vramlint td.n{text-align:right!important;white-space:nowrap;font-variant-numeric:tabular-nums}
.vramlint .faint{color:var(--v-faint)}.vramlint .strong{font-weight:600}
.vramlint .good{color:var(--v-good)}.vramlint .bad{color:var(--v-bad)}.vramlint .doubt{color:var(--v-doubt)}
.vramlint .bar{display:inline-block;height:11px;border-radius:2px;vertical-align:middle;min-width:2px}
.vramlint .track{width:180px}.vramlint summary{cursor:pointer;color:var(--v-faint)}
.vramlint .finding{border-left:3px solid var(--v-line);padding-left:8px;margin:6px 0}
.vramlint .badge{border:1px solid currentColor;border-radius:8px;padding:0 6px;font-size:11px;white-space:nowrap}
.vramlint svg text{fill:var(--v-faint);font:11px system-ui,sans-serif}
.vramlint svg text.strong{fill:var(--v-text);font-weight:600}
.vramlint svg .grid{stroke:var(--v-line);stroke-width:1}
.vramlint svg .edge{stroke:var(--v-card);stroke-width:1;opacity:.7}
.vramlint svg line.limit{stroke:var(--v-bad);stroke-width:1.5;stroke-dasharray:6 4}
.vramlint svg text.limit{fill:var(--v-bad);paint-order:stroke;stroke:var(--v-card);stroke-width:3px}
"""


def page(*parts: str) -> str:
    """Return the parts as one block with its own look; it holds no scripts."""
    return f'<div class="vramlint"><style>{_CSS}</style>{"".join(parts)}</div>'
