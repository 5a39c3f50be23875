"""Films of what a network sees in a video: attention over time, or a first mask that is followed."""

from dino.film.attention import AttentionStyle
from dino.film.making import FilmResult, make_film
from dino.film.masks import read_first_mask

__all__ = ["AttentionStyle", "FilmResult", "make_film", "read_first_mask"]
