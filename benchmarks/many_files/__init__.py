"""How long a folder of many files takes."""
