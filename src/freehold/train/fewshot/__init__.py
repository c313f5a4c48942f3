"""Few-shot: from 8 to 64 examples a label to a classifier, by contrast first and a head after."""
