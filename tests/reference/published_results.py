"""What the MomentumRNN paper's tables of results print, typed off row by row: mean, deviation."""

# Tables 1 and 11: MNIST and PMNIST, by units and model; the LSTM's first number, which is cited
TABLE_1_11 = {
    (128, "LSTM"): ((98.70, None), (92.00, None)),
    (256, "LSTM"): ((98.90, None), (92.29, None)),
    (128, "MomentumLSTM"): ((99.04, 0.04), (93.40, 0.25)),
    (256, "MomentumLSTM"): ((99.08, 0.05), (94.72, 0.16)),
    (256, "AdamLSTM"): ((99.09, 0.03), (95.05, 0.37)),
    (256, "RMSPropLSTM"): ((99.15, 0.06), (95.38, 0.19)),
    (256, "SRLSTM"): ((99.01, 0.07), (93.82, 1.85)),
    (128, "AdamLSTM"): ((98.98, 0.08), (93.75, 0.25)),
    (128, "RMSPropLSTM"): ((99.09, 0.05), (94.32, 0.43)),
    (128, "SRLSTM"): ((98.89, 0.08), (93.65, 0.56)),
}
# Tables 2 and 12: validation and test MSE on TIMIT
TABLE_2_12 = {
    (84, "LSTM"): ((14.87, 0.15), (14.94, 0.15)),
    (120, "LSTM"): ((11.77, 0.14), (11.83, 0.12)),
    (158, "LSTM"): ((9.33, 0.14), (9.37, 0.14)),
    (84, "MomentumLSTM"): ((10.90, 0.19), (10.98, 0.18)),
    (120, "MomentumLSTM"): ((8.00, 0.30), (8.04, 0.30)),
    (158, "MomentumLSTM"): ((5.86, 0.14), (5.87, 0.15)),
    (158, "AdamLSTM"): ((8.66, 0.15), (8.69, 0.14)),
    (158, "RMSPropLSTM"): ((9.13, 0.33), (9.17, 0.33)),
    (158, "SRLSTM"): ((5.81, 0.10), (5.83, 0.10)),
    (120, "AdamLSTM"): ((10.91, 0.08), (10.96, 0.08)),
    (120, "RMSPropLSTM"): ((11.83, 0.20), (11.90, 0.19)),
    (120, "SRLSTM"): ((8.15, 0.26), (8.21, 0.26)),
}
# Table 3: validation and test perplexity on PTB, three layers of 1150; the last two by section 3.5
TABLE_3 = {
    (1150, "LSTM"): ((61.96, 0.83), (59.71, 0.99)),
    (1150, "MomentumLSTM"): ((60.71, 0.24), (58.62, 0.22)),
    (1150, "SRLSTM"): ((61.12, 0.68), (58.83, 0.62)),
    (1150, "AdamLSTM"): (None, (61.11, 0.31)),
    (1150, "RMSPropLSTM"): (None, (64.53, 0.20)),
}
# Tables 4 and 13: PMNIST
TABLE_4_13 = {
    (170, "DTRIV"): ((95.21, 0.10),),
    (360, "DTRIV"): ((96.45, 0.10),),
    (512, "DTRIV"): ((96.62, 0.12),),
    (170, "MomentumDTRIV"): ((95.37, 0.09),),
    (360, "MomentumDTRIV"): ((96.73, 0.08),),
    (512, "MomentumDTRIV"): ((96.89, 0.08),),
    (512, "AdamDTRIV"): ((96.77, 0.21),),
    (512, "RMSPropDTRIV"): ((96.75, 0.12),),
    (512, "SRDTRIV"): ((97.02, 0.09),),
}
# Table 5: validation and test MSE on TIMIT
TABLE_5 = {
    (224, "DTRIV"): ((4.74, 0.06), (4.70, 0.07)),
    (322, "DTRIV"): ((1.92, 0.17), (1.87, 0.17)),
    (224, "MomentumDTRIV"): ((3.10, 0.09), (3.06, 0.09)),
    (322, "MomentumDTRIV"): ((1.21, 0.05), (1.17, 0.05)),
}
# Figure 7, from top to bottom and from left to right
FIGURE_7 = {
    "mnist": (
        (99.08, 98.90, 98.68, 98.22, 98.24),
        (86.88, 99.08, 99.08, 99.00, 99.03),
        (67.30, 84.17, 65.73, 99.03, 99.03),
        (51.67, 79.25, 84.74, 85.50, 99.07),
        (37.39, 83.58, 83.49, 81.54, 98.90),
    ),
    "timit": (
        (121.07, 38.92, 45.47, 51.19, 51.66),
        (7.24, 8.84, 10.46, 11.89, 12.25),
        (5.87, 6.89, 8.73, 9.53, 9.86),
        (5.86, 7.05, 8.01, 9.22, 9.61),
        (6.00, 7.10, 7.85, 9.05, 9.33),
    ),
}
# what the tables cite in brackets or beside their own number: by table, units and column
CITED = {
    "TABLE_1_11": {128: (97.30, 92.62), 256: (98.50, 92.10)},
    "TABLE_2_12": {84: (15.42, 14.30), 120: (13.93, 12.95), 158: (13.66, 12.62)},
    "TABLE_3": {1150: (None, 58.80)},
    "TABLE_4_13": {170: (95.20,), 360: (96.50,), 512: (96.80,)},
    "TABLE_5": {224: (4.75, 4.71), 322: (3.39, 3.76)},
}
# thousands of parameters, by model and units
PARAMETERS = {
    "LSTM": {128: 68, 256: 270, 84: 83, 120: 135, 158: 200, 1150: 24000},
    "DTRIV": {170: 16, 360: 69, 512: 137, 224: 83, 322: 135},
}
