"""Train: from labelled examples to a checkpoint, by one recipe and one loop."""

import os

# OpenMP's threads meet some thousand times a second, and by default spin for long while they wait
# for one another. Where another program holds a core, the thread that is waited for does not run
# while the others spin: beside one busy process a run on two cores was seen to fall from 150
# examples a second to 3, with a short spin to 50; alone on its cores it is as fast with either.
# Read when torch is loaded, hence here; what the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
