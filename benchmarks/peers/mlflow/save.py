"""Save a model as MLflow's: ``save.py sklearn|onnx FILE FOLDER``; no signature, so that rows need not be checked."""

import sys

flavour, file, folder = sys.argv[1:]
if flavour == "onnx":
    import mlflow.onnx
    import onnx

    options = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    mlflow.onnx.save_model(onnx.load(file), folder, onnx_session_options=options)
else:
    import joblib
    import mlflow.sklearn

    mlflow.sklearn.save_model(joblib.load(file), folder, serialization_format="cloudpickle")
