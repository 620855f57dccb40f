"""Momentum in five models of other packages, each trained before and after by its own means.

``pip install darts neuralforecast pytorch-forecasting gluonts transformers lightning`` first, or
some of them: those that are not installed are skipped. Prints for each what was converted, and its
error after training, and after as much training again with momentum.
"""

import importlib.util
import logging
import os
import tempfile
import warnings

import numpy as np
import torch

import torchmomentum as tm

RULE = tm.nn.Momentum(0.6, 0.6)
SERIES = np.sin(np.arange(200) / 5).astype(np.float32)
QUIET = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "logger": False,
}


def darts():
    """RNNModel: its LSTM is made by name, and its state goes from step to step in forecasts."""
    from darts import TimeSeries
    from darts.models import RNNModel

    series = TimeSeries.from_values(SERIES)
    options = {"n_epochs": 5, "random_state": 0, "pl_trainer_kwargs": dict(QUIET)}
    model = RNNModel(12, model="LSTM", hidden_dim=16, training_length=24, **options)

    def error():
        forecast = model.predict(12, series[:150], verbose=False).values()[:, 0]
        return float(np.square(forecast - SERIES[150:162]).mean())

    model.fit(series[:150], verbose=False)
    yield model.model, error()
    model.fit(series[:150], epochs=5, verbose=False)
    yield model.model, error()


def neuralforecast():
    """LSTM, an encoder with a decoder."""
    import pandas
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    options = {"max_steps": 50, "encoder_hidden_size": 16, "decoder_hidden_size": 16}
    model = LSTM(h=12, input_size=24, **options, **QUIET)
    days = pandas.date_range("2026-01-01", periods=150)
    frame = pandas.DataFrame({"unique_id": "sine", "ds": days, "y": SERIES[:150]})
    forecaster = NeuralForecast([model], "D")

    def error():
        forecaster.fit(frame)
        return float(np.square(forecaster.predict()["LSTM"].to_numpy() - SERIES[150:162]).mean())

    before = error()
    yield forecaster.models[0], before
    yield forecaster.models[0], error()


def pytorch_forecasting():
    """RecurrentNetwork, whose LSTM is a subclass of torch.nn's that takes empty sequences."""
    import lightning.pytorch
    import pandas
    from pytorch_forecasting import RecurrentNetwork, TimeSeriesDataSet

    frame = pandas.DataFrame({"y": SERIES, "time": np.arange(len(SERIES)), "group": "sine"})
    data = TimeSeriesDataSet(
        *(frame, "time", "y", ["group"]),
        max_encoder_length=24,
        max_prediction_length=12,
        time_varying_unknown_reals=["y"],
    )
    model = RecurrentNetwork.from_dataset(data, hidden_size=16, learning_rate=0.01)

    def error():
        loader = data.to_dataloader(batch_size=32, num_workers=0)
        lightning.pytorch.Trainer(max_epochs=5, **QUIET).fit(model, loader)
        return float(model.trainer.callback_metrics["train_loss"])

    yield model, error()
    yield model, error()


def gluonts():
    """DeepAR, which draws many forecasts from one state repeated."""
    import lightning.pytorch
    from gluonts.dataset.common import ListDataset
    from gluonts.torch import DeepAREstimator

    data = ListDataset([{"start": "2026-01-01", "target": SERIES[:150]}], freq="D")
    estimator = DeepAREstimator("D", 12, hidden_size=16, num_batches_per_epoch=10)
    transformation = estimator.create_transformation()
    network = estimator.create_lightning_module()
    predictor = estimator.create_predictor(transformation, network)

    def error():
        entries = transformation.apply(data, is_train=True)
        batches = estimator.create_training_data_loader(entries, network, shuffle_buffer_length=10)
        lightning.pytorch.Trainer(max_epochs=5, **QUIET).fit(network, batches)
        forecast = next(predictor.predict(data))
        return float(np.square(forecast.mean - SERIES[150:162]).mean())

    yield network, error()
    yield network, error()


def transformers():
    """EnCodec, an audio codec with LSTMs between its convolutions."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    model = EncodecModel(EncodecConfig(num_filters=4, hidden_size=16, upsampling_ratios=[4, 2]))
    audio = torch.sin(torch.arange(800) / 5).reshape(1, 1, -1)

    def train():
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(20):
            optimizer.zero_grad()
            loss = (model.decoder(model.encoder(audio)) - audio).square().mean()
            loss.backward()
            optimizer.step()
        return float(loss)

    yield model, train()
    yield model, train()


def convert(name, run):
    """Trains, converts, trains on; one line about it."""
    torch.manual_seed(0)
    steps = run()
    model, before = next(steps)
    parameters = [id(p) for p in model.parameters()]
    tm.nn.momentumize(model, RULE)
    assert parameters == [id(p) for p in model.parameters()]
    model, after = next(steps)
    report = tm.nn.momentum_report(model)
    converted = ", ".join(f"{found.name} ({found.kind})" for found in report if found.momentum)
    print(f"{name}: {converted or 'nothing'}: error {before:.4f}, with momentum {after:.4f}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")  # the packages' own
    warnings.filterwarnings("error", message=".* momentum begins at zero")  # a state lost it
    os.chdir(tempfile.mkdtemp())
    for run in (darts, neuralforecast, pytorch_forecasting, gluonts, transformers):
        if importlib.util.find_spec(run.__name__) is None:
            print(f"{run.__name__}: not installed")
        else:
            convert(run.__name__, run)
