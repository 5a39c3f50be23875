"""Speed, as ratios against a plain implementation in the same run."""
