"""Whether every file of many repositories gives a report, and how long that takes."""
