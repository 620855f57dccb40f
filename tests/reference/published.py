"""What the documents print, typed off from them: one name a table, nothing computed.

The MomentumRNN paper is arXiv:2006.06919 (its Appendix A gives sizes, clipping and biases). The
image recipes are the commands in ``recipes.md`` of the SRSGD release (minhtannguyen/SRSGD). Its
errors are those in ``plot_code_srsgd.ipynb`` there, the cells of Figures 4, 5 and 6 of the
appendix: the slides show the figures without numbers.
"""

INFINITE = float("inf")

# --- MomentumRNN paper --------------------------------------------------------------------------

# Table 6, LSTM: optimizer, learning rate, batch size, "#Epochs" (of copying and adding: iterations)
TABLE_6_LSTM = {
    "MNIST": ("RMSProp", 0.001, 128, 150),
    "PMNIST": ("RMSProp", 0.001, 128, 150),
    "TIMIT": ("Adam", 0.0001, 32, 700),
    "PTB": ("SGD", 30, 20, 500),
    "Copying": ("RMSProp", 0.0002, 128, 7000),
    "Adding": ("Adam", 0.0002, 50, 1200),
}
# Table 6, DTRIV, by size: K, optimizer, learning rate, orthogonal optimizer, orthogonal learning
# rate, batch size, epochs
TABLE_6_DTRIV = {
    ("MNIST", 170): (1, "RMSProp", 0.001, "RMSProp", 0.0001, 128, 150),
    ("MNIST", 360): (INFINITE, "RMSProp", 0.0005, "RMSProp", 0.0001, 128, 150),
    ("MNIST", 512): (100, "RMSProp", 0.0005, "RMSProp", 0.0001, 128, 150),
    ("PMNIST", 170): (1, "RMSProp", 0.0007, "RMSProp", 0.0002, 128, 150),
    ("PMNIST", 360): (INFINITE, "RMSProp", 0.0007, "RMSProp", 0.00005, 128, 150),
    ("PMNIST", 512): (INFINITE, "RMSProp", 0.0003, "RMSProp", 0.00007, 128, 150),
    ("TIMIT", 224): (INFINITE, "Adam", 0.001, "RMSProp", 0.0002, 128, 700),
    ("TIMIT", 322): (INFINITE, "Adam", 0.001, "RMSProp", 0.0002, 128, 700),
}

# In what follows a data set's key has a size or a length only where the table tells them apart.

# Table 7: mu, step size, then as Table 6
TABLE_7_LSTM = {
    "MNIST": (0.6, 0.6, "RMSProp", 0.001, 128, 150),
    "PMNIST": (0.6, 1.0, "RMSProp", 0.001, 128, 150),
    "TIMIT": (0.3, 0.1, "Adam", 0.0001, 32, 700),
    "PTB": (0.0, 0.6, "SGD", 30, 20, 500),
    ("Copying", 1000): (0.6, 0.9, "RMSProp", 0.0002, 128, 7000),
    ("Copying", 2000): (0.9, 2.0, "RMSProp", 0.0002, 128, 7000),
    "Adding": (0.9, 2.0, "Adam", 0.0002, 50, 1200),
}
# K, mu, step size, optimizer, learning rate, orthogonal ones, batch size, epochs
TABLE_7_DTRIV = {
    ("PMNIST", 170): (1, 0.6, 0.9, "RMSProp", 0.0007, "RMSProp", 0.0002, 128, 150),
    ("PMNIST", 360): (INFINITE, 0.3, 0.3, "RMSProp", 0.0007, "RMSProp", 0.00005, 128, 150),
    ("PMNIST", 512): (INFINITE, 0.3, 0.3, "RMSProp", 0.0003, "RMSProp", 0.00007, 128, 150),
    ("TIMIT", 224): (INFINITE, 0.3, 0.1, "Adam", 0.001, "RMSProp", 0.0002, 128, 700),
    ("TIMIT", 322): (INFINITE, 0.3, 0.1, "Adam", 0.001, "RMSProp", 0.0002, 128, 700),
}

# Table 8: optimizer, mu, step size, beta, learning rate, batch size, epochs
TABLE_8_LSTM = {
    "MNIST": ("RMSProp", 0.6, 0.6, 0.1, 0.001, 128, 150),
    "PMNIST": ("RMSProp", 0.6, 1.0, 0.01, 0.001, 128, 150),
    "TIMIT": ("Adam", 0.3, 0.1, 0.999, 0.0001, 32, 700),
    ("Copying", 1000): ("RMSProp", 0.6, 2.0, 0.999, 0.0002, 128, 7000),
    ("Copying", 2000): ("RMSProp", 0.6, 2.0, 0.999, 0.0002, 128, 7000),
    "Adding": ("Adam", 0.6, 2.0, 0.999, 0.0002, 50, 1200),
}
# K, mu, step size, beta, optimizer, learning rate, orthogonal ones, batch size, epochs
TABLE_8_DTRIV = {
    ("PMNIST", 512): (INFINITE, 0.3, 0.3, 0.8, "RMSProp", 0.0003, "RMSProp", 0.00007, 128, 150),
}

# Table 9: as Table 8
TABLE_9_LSTM = {
    ("MNIST", 256): ("RMSProp", 0.0, 0.6, 0.9, 0.001, 128, 150),
    ("MNIST", 128): ("RMSProp", 0.0, 0.6, 0.99, 0.001, 128, 150),
    "PMNIST": ("RMSProp", 0.0, 1.0, 0.01, 0.001, 128, 150),
    "TIMIT": ("Adam", 0.0, 0.1, 0.999, 0.0001, 32, 700),
    ("Copying", 1000): ("RMSProp", 0.0, 2.0, 0.999, 0.0002, 128, 7000),
    ("Copying", 2000): ("RMSProp", 0.0, 2.0, 0.999, 0.0002, 128, 7000),
    "Adding": ("Adam", 0.0, 2.0, 0.999, 0.0002, 50, 1200),
}
TABLE_9_DTRIV = {
    ("PMNIST", 512): (INFINITE, 0.0, 0.3, 0.9, "RMSProp", 0.0003, "RMSProp", 0.00007, 128, 150),
}

# Table 10: optimizer, F, step size, learning rate, batch size, epochs
TABLE_10_LSTM = {
    "MNIST": ("RMSProp", 2, 1.0, 0.001, 128, 150),
    ("PMNIST", 256): ("RMSProp", 40, 0.9, 0.001, 128, 150),
    ("PMNIST", 128): ("RMSProp", 6, 0.01, 0.001, 128, 150),
    "TIMIT": ("Adam", 2, 0.1, 0.0001, 32, 700),
    "PTB": ("SGD", 2, 0.6, 30, 20, 500),
    ("Copying", 1000): ("RMSProp", 100, 0.9, 0.0002, 128, 7000),
    ("Copying", 2000): ("RMSProp", 100, 0.9, 0.0002, 128, 7000),
    "Adding": ("Adam", 100, 0.9, 0.0002, 50, 1200),
}
# K, F, step size, optimizer, learning rate, orthogonal ones, batch size, epochs
TABLE_10_DTRIV = {
    ("PMNIST", 512): (INFINITE, 2, 0.3, "RMSProp", 0.0003, "RMSProp", 0.00007, 128, 150),
}

# Appendix A: hidden units; the largest norm of the gradient; RMSProp's alpha; the forget bias set
# in each of the two biases; steps of adding (Figure 4)
HIDDEN = {"MNIST": (128, 256), "PMNIST": (128, 256), "Copying": (190,), "Adding": (128,)}
CLIP = {"MNIST": 1.0, "PMNIST": 1.0, "Copying": None, "Adding": None}
ALPHA = {"MNIST": 0.9, "PMNIST": 0.9}
FORGET_BIAS = {"MNIST": 1.0, "PMNIST": 1.0, "Copying": 1.0, "Adding": 1.0}
ADDING_LENGTH = 750

# Table 14: microseconds a sample in training and in evaluation, PMNIST, 256 hidden units
TABLE_14 = {
    "LSTM": (6.18, 2.52),
    "MomentumLSTM": (7.43, 3.16),
    "AdamLSTM": (10.34, 4.07),
    "RMSPropLSTM": (9.94, 3.96),
    "SRLSTM": (8.34, 3.16),
}
# Table 15: megabytes a sample in training and in evaluation, the same
TABLE_15 = {
    "LSTM": (15.93, 7.51),
    "MomentumLSTM": (15.95, 7.51),
    "AdamLSTM": (25.13, 7.52),
    "RMSPropLSTM": (25.13, 7.52),
    "SRLSTM": (15.95, 7.51),
}
# Table 16: minutes to the LSTM's test accuracy of 92.29 %, the same
TABLE_16 = {
    "LSTM": 767,
    "MomentumLSTM": 551,
    "AdamLSTM": 225,
    "RMSPropLSTM": 416,
    "SRLSTM": 348,
}

# --- SRSGD release ------------------------------------------------------------------------------

# --epochs, --schedule, --restart-schedule, --lr, batch size, --wd; ImageNet on eight devices of 32
RELEASED = {
    ("cifar10", "sgd"): (200, (80, 120, 160), (), 0.1, 128, 5e-4),
    ("cifar10", "srsgd-linear"): (200, (80, 120, 160), (30, 60, 90, 120), 0.1, 128, 5e-4),
    ("cifar10", "srsgd-exponential"): (200, (80, 120, 160), (40, 50, 63, 78), 0.1, 128, 5e-4),
    ("cifar100", "sgd"): (200, (80, 120, 160), (), 0.1, 128, 5e-4),
    ("cifar100", "srsgd-linear"): (200, (80, 120, 160), (50, 100, 150, 200), 0.1, 128, 5e-4),
    ("cifar100", "srsgd-exponential"): (200, (80, 120, 160), (45, 68, 101, 152), 0.1, 128, 5e-4),
    ("imagenet", "sgd"): (90, (31, 61), (), 0.1, 256, 1e-4),
    ("imagenet", "srsgd-linear"): (90, (31, 61), (40, 80, 80), 0.1, 256, 1e-4),
}
# the short trainings, by SRSGD's linear schedule alone: --epochs, --schedule
RELEASED_SHORT = {
    **{("cifar10", depth): (100, (80, 90, 95)) for depth in (110, 290, 470, 650, 1001)},
    **{("cifar100", depth): (100, (80, 90, 95)) for depth in (110, 290, 470, 650, 1001)},
    ("imagenet", 50): (80, (31, 51)),
    ("imagenet", 101): (80, (31, 56)),
    ("imagenet", 152): (75, (31, 51)),
    ("imagenet", 200): (60, (31, 46)),
}
CIFAR_DEPTHS = (110, 290, 470, 650, 1001)
IMAGENET_DEPTHS = (50, 101, 152, 200)

# test accuracies of CIFAR-10 and errors of the others in percent, of the full training, by depth
CIFAR10_SGD_ACCURACY = (94.75, 94.95, 95.08, 95.13, 95.16)
CIFAR10_SRSGD_ACCURACY = (95.07, 95.63, 95.82, 96.00, 96.13)
CIFAR10_SRSGD_BAR = (0.13, 0.15, 0.09, 0.07, 0.07)
CIFAR100_SGD_ERROR = (23.75, 21.78, 21.43, 21.27, 20.87)
CIFAR100_SRSGD_ERROR = (23.49, 21.49, 20.71, 20.36, 19.75)
CIFAR100_SRSGD_BAR = (0.23, 0.27, 0.32, 0.25, 0.11)
IMAGENET_SGD_ERROR = (24.11, 22.42, 22.03, 22.13)
IMAGENET_SRSGD_ERROR = (23.85, 22.06, 21.46, 20.93)
IMAGENET_SRSGD_BAR = (0.09, 0.10, 0.07, 0.13)
