"""Evaluates streamed TIoU on two virtual CPU devices; prints it beside the plain one.

A program for test_attention_scores.py: virtual devices are made before TensorFlow
starts.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from kerasloc.metrics import tiou
from kerasloc.training.attention_scores import AttentionAccuracy


def main():
    device = tf.config.list_physical_devices("CPU")[0]
    virtual = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(device, virtual)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    maps, masks = np.random.default_rng(0).random((2, 7, 6, 5, 3)) > 0.4
    masks[:4, ..., 1] = False
    with strategy.scope():
        image = keras.Input((6, 5, 3))
        model = keras.Model(image, keras.layers.Rescaling(1.0)(image))
        model.compile(loss="mse", metrics=[AttentionAccuracy()])
    # Keras adds the replicas' targets up to see their shape: booleans it cannot.
    data = maps.astype("float32"), masks.astype("uint8")
    found = model.evaluate(*data, batch_size=4, verbose=0, return_dict=True)
    plain = tiou(maps, masks)["mean"]
    replicas = strategy.num_replicas_in_sync
    print(json.dumps({"replicas": replicas, "streamed": found["tiou"], "plain": plain}))


if __name__ == "__main__":
    main()
