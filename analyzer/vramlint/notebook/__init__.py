"""vramlint inside IPython: `%vramlint` on the session so far, `%%vramlint` on a cell before it runs."""
