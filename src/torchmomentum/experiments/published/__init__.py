"""Published results, to print beside ours, a document each. No torch."""
