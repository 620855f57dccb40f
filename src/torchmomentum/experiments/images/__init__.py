"""Image classification: residual networks, trained by SGD and SRSGD as the slides did."""
