"""One small adapter for each task; `registry` names them."""
