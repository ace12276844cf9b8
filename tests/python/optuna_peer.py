"""Optuna as the peer of our journals (tests/tune/journal_test.cpp).

optuna_peer.py dump JOURNAL STUDY OUT  what Optuna reads, as JSON
optuna_peer.py add JOURNAL STUDY N     N trials by Optuna, which makes the study if there is none
optuna_peer.py dashboard JOURNAL OUT   what optuna-dashboard sends to its page about the first study
"""

import json
import math
import sys
import time
import wsgiref.util

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)


def dump(journal, study, destination):
    loaded = optuna.load_study(storage=JournalStorage(JournalFileBackend(journal)), study_name=study)
    trials = [
        {
            "number": trial.number,
            "state": trial.state.name,
            "value": trial.value,
            "params": trial.params,
            "distributions": {k: repr(v) for k, v in trial.distributions.items()},
            "intermediate": {
                str(k): v if math.isfinite(v) else None
                for k, v in trial.intermediate_values.items()
            },
            "user_attrs": trial.user_attrs,
            "has_duration": trial.duration is not None,
        }
        for trial in loaded.trials
    ]
    try:
        best = loaded.best_trial.number
    except ValueError:
        best = None
    with open(destination, "w", encoding="utf-8") as file:
        json.dump({"direction": loaded.direction.name, "best": best, "trials": trials}, file)


def objective(trial):
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    units = trial.suggest_int("units", 8, 64)
    norm = trial.suggest_categorical("norm", ["none", "batch"])
    trial.set_user_attr("who", "Optuna, \\ \"quoted\" NaN \u00e9")
    trial.report(lr, 1)
    time.sleep(0.005)  # others may write
    if trial.number % 4 == 1:
        trial.report(float("nan"), 2)
        raise optuna.TrialPruned()
    if trial.number % 4 == 2:
        raise RuntimeError("fails")
    if trial.number % 4 == 3:
        return float("inf")
    return lr + units + (norm == "none")


def add(journal, study, count):
    loaded = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(journal)), study_name=study, load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(seed=1))
    loaded.optimize(objective, n_trials=int(count), catch=(RuntimeError,))


def dashboard(journal, destination):
    from optuna_dashboard import wsgi  # asked as a browser would ask, without a socket

    environment = {"PATH_INFO": "/api/studies/0"}
    wsgiref.util.setup_testing_defaults(environment)
    states = []
    answer = b"".join(wsgi(JournalStorage(JournalFileBackend(journal)))(
        environment, lambda state, headers, error=None: states.append(state)))
    if states != ["200 OK"]:
        sys.exit(f"optuna-dashboard: {states}: {answer[:500]}")
    with open(destination, "wb") as file:
        file.write(answer)


if __name__ == "__main__":
    {"dump": dump, "add": add, "dashboard": dashboard}[sys.argv[1]](*sys.argv[2:])
