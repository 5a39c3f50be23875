"""The version of the project, in one place: what is installed, and what is written below a figure."""

VERSION = "0.1.0"
