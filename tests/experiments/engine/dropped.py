"""A user's model with dropout."""

from torch import nn


class Dropped(nn.Module):
    def __init__(self, input_size, output_size, hidden_size=8, dropout=0.3):
        super().__init__()
        self.layer = nn.GRU(input_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        return self.readout(self.dropout(self.layer(x)[0][-1]))
