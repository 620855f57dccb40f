"""What is made of a study's results, and of nothing else: statistics, tables, figures, Markdown."""
