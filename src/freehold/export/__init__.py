"""Export: a trained checkpoint as a bundle that serves without torch, measured on this machine."""
