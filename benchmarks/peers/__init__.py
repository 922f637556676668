"""The same training steps given to vramlint and to other estimators, side by side in one run."""
