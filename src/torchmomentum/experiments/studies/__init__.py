"""What is compared, as data: a comparison of models, the slides' figures, the image figures."""
