"""The flow as a diagram: a row of hops, or a column in a narrow window. All text is escaped."""

from collections.abc import Sequence
from html import escape

from dashboard.components.hops import Health, HopCard

# Okabe and Ito's green, orange and vermilion. The status and the icon say the same; text keeps the theme's colour.
_COLOURS = {
    Health.FINE: "#009E73",
    Health.WAITING: "#E69F00",
    Health.UNKNOWN: "#8A8A8A",
    Health.STALLED: "#D55E00",
    Health.BROKEN: "#D55E00",
}
_STYLE = """
.flow-frame { container-type: inline-size; }
.flow { display: flex; align-items: stretch; gap: 0.35rem; list-style: none; margin: 0; padding: 0 !important; }
.flow > li { margin: 0; padding: 0; }
.flow-hop { flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; gap: 0.1rem; border-radius: 0.5rem;
  border: 1px solid color-mix(in srgb, currentColor 22%, transparent); border-top: 4px solid var(--health); }
.flow-hop > * { padding: 0 0.7rem; margin: 0; }
.flow-name { font-weight: 600; padding-top: 0.5rem; }
.flow-count { font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.flow-small { font-size: 0.82rem; opacity: 0.85; overflow-wrap: anywhere; }
.flow-status { margin-top: auto; padding: 0.35rem 0.7rem; font-size: 0.85rem; border-radius: 0 0 0.45rem 0.45rem;
  background: color-mix(in srgb, var(--health) 16%, transparent); display: flex; gap: 0.35rem; align-items: center; }
.flow-icon { font-family: "Material Symbols Rounded"; font-size: 1.1rem; line-height: 1; flex: none;
  overflow: hidden; width: 1.1rem; white-space: nowrap; font-feature-settings: "liga"; }
.flow-arrow { align-self: center; display: flex; }
@container (max-width: 46rem) {
  .flow { flex-direction: column; }
  .flow-arrow .flow-icon { transform: rotate(90deg); }
  .flow-hop { display: grid; grid-template-columns: 1fr auto; }
  .flow-count { font-size: 1.25rem; text-align: right; padding-top: 0.4rem; }
  .flow-small, .flow-status { grid-column: 1 / -1; }
}
"""


def render_flow(cards: Sequence[HopCard]) -> str:
    """Render the cards as an ordered list, for `st.html`."""
    arrow = f'<li class="flow-arrow" aria-hidden="true">{_render_icon(":material/arrow_forward:")}</li>'
    items = arrow.join(_render_card(card) for card in cards)
    flow = f'<ol class="flow" aria-label="The flow, hop by hop">{items}</ol>'
    return f'<style>{_STYLE}</style><div class="flow-frame">{flow}</div>'


def _render_card(card: HopCard) -> str:
    count = "unknown" if card.count is None else f"{card.count:,}"
    diverted = "".join(f'<div class="flow-small">+ {escape(text)}</div>' for text in card.diverted)
    return (
        f'<li class="flow-hop" style="--health: {_COLOURS[card.health]}">'
        f'<div class="flow-name">{escape(card.name)}</div>'
        f'<div class="flow-count">{count}</div>'
        f'<div class="flow-small">{escape(card.unit)} {escape(card.place)}</div>'
        f"{diverted}"
        f'<div class="flow-small">{escape(card.last_activity)}</div>'
        f'<div class="flow-status">{_render_icon(card.health.value)}<span>{escape(card.status)}</span></div></li>'
    )


def _render_icon(name: str) -> str:
    """Render one of the icons that Streamlit serves, given its Markdown name."""
    ligature = name.removeprefix(":material/").removesuffix(":")
    return f'<span class="flow-icon" aria-hidden="true">{ligature}</span>'
