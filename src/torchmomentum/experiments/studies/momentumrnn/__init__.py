"""The tables and figures of the MomentumRNN paper: the trainings behind them, as data."""
