"""BERT in TensorFlow: the same model as model_pytorch.py."""

import tensorflow as tf

layers = tf.keras.layers


def initializer():
    return tf.keras.initializers.TruncatedNormal(stddev=0.02)


def dense(width, activation=None):
    return layers.Dense(width, activation=activation, kernel_initializer=initializer())


class Layer(layers.Layer):
    """Attention in both directions, then a small network; each is normed after."""

    def __init__(self, width, heads):
        super().__init__()
        self.attention = layers.MultiHeadAttention(
            heads, width // heads, kernel_initializer=initializer()
        )
        self.norm1 = layers.LayerNormalization(epsilon=1e-12)
        self.widen = dense(4 * width, activation="gelu")
        self.narrow = dense(width)
        self.norm2 = layers.LayerNormalization(epsilon=1e-12)

    def call(self, x):
        x = self.norm1(x + self.attention(x, x))
        return self.norm2(x + self.narrow(self.widen(x)))


class BERT(tf.keras.Model):
    def __init__(self, vocabulary, length, depth, heads, width):
        super().__init__()
        self.word = layers.Embedding(vocabulary, width, embeddings_initializer=initializer())
        self.position = layers.Embedding(length, width, embeddings_initializer=initializer())
        self.segment = layers.Embedding(2, width, embeddings_initializer=initializer())
        self.norm = layers.LayerNormalization(epsilon=1e-12)
        self.encoder = [Layer(width, heads) for _ in range(depth)]
        self.transform = dense(width, activation="gelu")
        self.transform_norm = layers.LayerNormalization(epsilon=1e-12)
        self.bias = self.add_weight(shape=(vocabulary,), initializer="zeros", name="bias")

    def call(self, tokens, segments):
        places = tf.range(tf.shape(tokens)[1])
        x = self.norm(self.word(tokens) + self.position(places) + self.segment(segments))
        for layer in self.encoder:
            x = layer(x)
        x = self.transform_norm(self.transform(x))
        return tf.matmul(x, self.word.embeddings, transpose_b=True) + self.bias


class Trainer:
    def __init__(self, vocabulary, length, hparams):
        tf.keras.utils.set_random_seed(hparams["seed"])
        self.model = BERT(
            vocabulary, length, hparams["layers"], hparams["heads"], hparams["width"]
        )
        self.optimizer = tf.keras.optimizers.Adam(hparams["learning_rate"])

    def step(self, tokens, segments, labels):
        """One step on NumPy arrays; returns the loss before it."""
        masked = labels != -100
        with tf.GradientTape() as tape:
            logits = self.model(tf.constant(tokens), tf.constant(segments))
            logits = tf.boolean_mask(logits, masked)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels[masked], logits)
            )
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return float(loss)
