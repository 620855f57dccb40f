"""The report as one page that fetches nothing: verdicts in sentences, tables, plotly's charts."""
