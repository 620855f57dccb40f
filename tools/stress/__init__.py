"""What is too slow or too rough for the suite: kills, hostile files, many workers."""
