"""Tasks: one small file for each thing that a model can be trained to do; `registry` finds them."""
