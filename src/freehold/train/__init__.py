"""Train: from labelled examples to a checkpoint, by one recipe and one loop."""

import os

# OpenMP's threads meet some thousand times a second, and by default spin for long while they wait
# for one another. Where another program holds a core, the thread that is waited for does not run
# while the others spin: beside a second training on two cores a run made 38 examples a second with
# the default spin and 55 with a short one, beside a busy loop 44 and 56; alone it is as fast with
# either (bench/RESULTS.md). Read when torch is loaded, hence here; what the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
