"""What was measured, beside what others published: histories → sections → HTML, Markdown, CSV,
charts.

history = read_histories([Path("results")])
sections = build_sections(history.reports)
Path("report.html").write_text(html_page(sections, about=...))
"""

from dino.evaluation.summary.history import History, read_histories
from dino.evaluation.summary.page import html_page, markdown
from dino.evaluation.summary.sections import build_sections

__all__ = ["History", "build_sections", "html_page", "markdown", "read_histories"]
