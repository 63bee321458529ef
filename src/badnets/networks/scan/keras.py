"""What a description of Keras names: layers and functions of Keras itself, or code that would be run or looked for."""

from __future__ import annotations

import re
from typing import Any

from badnets.networks.scan.known import OUTSIDE
from badnets.networks.scan.look import Look, Part

_CODE = {
    "Lambda": "a Lambda layer, whose function is code in the file",
    "__lambda__": "a function as marshalled code",
    "TorchModuleWrapper": "a layer around a pickled module of torch",
    "TFSMLayer": "a layer that loads a SavedModel of TensorFlow",
    "JaxLayer": "a layer around functions of JAX, as code in the file",
    "FlaxLayer": "a layer around a module of Flax, as code in the file",
    "TensorFlowOpLayer": "an operator of TensorFlow as bytes",
}
_LAYERS = """
Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average
BatchNormalization BatchNormalizationV1 BatchNormalizationV2 SyncBatchNormalization Bidirectional CategoryEncoding
CenterCrop Concatenate ContrastLimitedAdaptiveHistogramEqualization ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D
Cropping2D Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D DepthwiseConv3D Discretization Dot Dropout ELU
EinsumDense Embedding Equalization Flatten GRU GRUV1 GRUV2 GRUCell GaussianDropout GaussianNoise GroupNormalization
GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing Identity InputLayer InputSpec IntegerLookup LSTM
LSTMV1 LSTMV2 LSTMCell Layer LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking
MaxNumBoundingBoxes Maximum MaxoutDense MelSpectrogram Merge Minimum MixUp MultiHeadAttention Multiply Normalization
PReLU Permute Pipeline RMSNormalization RNN RandAugment ReLU RepeatVector Rescaling Reshape Resizing
ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D
SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization
StackedRNNCells StringLookup Subtract TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D
UpSampling2D UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D CuDNNGRU CuDNNLSTM Highway
"""
_OTHERS = """
Model Sequential Functional KerasTensor Variable DTypePolicy FloatDTypePolicy QuantizedDTypePolicy Policy
DTypePolicyMap QuantizedFloat8DTypePolicy Int4DTypePolicy GPTQDTypePolicy AWQDTypePolicy SeedGenerator TensorShape
Constant GlorotNormal GlorotUniform HeNormal HeUniform IdentityInitializer Initializer LecunNormal LecunUniform Ones
Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal VarianceScaling Zeros
L1 L1L2 L2 OrthogonalRegularizer Regularizer WeightRegularizer Constraint MaxNorm MinMaxNorm NonNeg UnitNorm
RadialConstraint Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer MultiOptimizer Muon
Nadam Optimizer RMSprop SGD ScheduleFreeAdamW ExponentialDecay PiecewiseConstantDecay PolynomialDecay InverseTimeDecay
CosineDecay CosineDecayRestarts BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy
CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CosineSimilarity Dice Hinge
Huber KLDivergence LogCosh Loss MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge Tversky LossFunctionWrapper AUC
Accuracy BinaryAccuracy BinaryIoU CategoricalAccuracy ConcordanceCorrelation F1Score FBetaScore FalseNegatives
FalsePositives IoU LogCoshError Mean MeanIoU MeanMetricWrapper Metric OneHotIoU OneHotMeanIoU PearsonCorrelation
Precision PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity
SparseCategoricalAccuracy SparseTopKCategoricalAccuracy SpecificityAtSensitivity Sum TopKCategoricalAccuracy
TrueNegatives TruePositives AbsMaxQuantizer AWQConfig GPTQConfig Float8QuantizationConfig Int4QuantizationConfig
Int8QuantizationConfig QuantizationConfig
"""
_OPERATORS = """
Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append Arange
Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average
AveragePool BatchNorm BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr
BitwiseRightShift BitwiseXor BroadcastTo CDist CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu Cholesky
CholeskyInverse Clip Concatenate Conj Conjugate Conv ConvTranspose ConvertToTensor Copy Corrcoef Correlate Cos Cosh
CountNonzero CropImages Cross Cumprod Cumsum Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal Diff
Digitize Divide DivideNoNan Dot DotProductAttention Dsplit Dstack Eig Eigh Einsum ElasticTransform Elu EmptyLike Equal
Erf Erfc Erfinv Exp Exp2 ExpandDims Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs Flip Fliplr Flipud Floor
FloorDivide Fmax Fmin Fmod Fold Full FullLike GaussianBlur Gcd Gelu Geomspace GetItem Glu Greater GreaterEqual
HSVToRGB HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag
InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron LayerNorm Lcm Ldexp LeakyRelu
LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet LogicalAnd
LogicalNot LogicalOr LogicalXor Logspace Logsumexp Lstsq LuFactor MapCoordinates Matmul MatrixRank Max MaxPool Maximum
Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot Multiply NanToNum Nanargmax Nanargmin Nancumprod
Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative
Nextafter Nonzero Norm Normalize NotEqual OneHot OnesLike Outer PSNR Pad PadImages Percentile PerspectiveTransform
Pinv Polar Power Prod Ptp Qr Quantile RFFT RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real Rearrange Reciprocal
Relu Relu6 Repeat Reshape Resize RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD SaturateCast ScaleAndTranslate
Scatter ScatterUpdate SearchSorted SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum Select Selu
SeparableConv Sigmoid Sign Signbit Silu Sin Sinc Sinh Size Slice SliceUpdate Slogdet SobelEdges SoftShrink Softmax
Softplus Softsign Solve SolveTriangular Sort SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid
Sparsemax Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan
Tanh TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unfold Unique
UnravelIndex Unstack Vander Var Vdot View ViewAsComplex ViewAsReal Vsplit Vstack Where ZerosLike
"""
"""Of keras.ops, those that compute; others call functions of the file."""
_KNOWN = frozenset(f"{_LAYERS} {_OTHERS} {_OPERATORS}".split())
_FAMILIES = re.compile(
    "(Adaptive)?(Global)?(Max|Average|Avg)Pool(ing)?[123]D|Conv(olution)?[123]D(Transpose)?|AtrousConvolution[12]D|"
    "Deconvolution2D|Random[A-Z][A-Za-z]*"
)
"""Classes of Keras that come in many kinds."""
_MARKS = re.compile("__(tensor|numpy|bytes|ellipsis|keras_tensor|typespec|slice|tuple|none)__")
_MODULES = re.compile(
    r"(tf_|tensorflow\.|tensorflow\.python\.)?keras(_core)?(\.src|\.api|\._tf_keras\.keras|\._legacy)*(\.backend\.\w+)?"
    r"(\.(layers|initializers|regularizers|constraints|optimizers|losses|metrics|activations|dtype_policies|quantizers|"
    r"random|ops|models|engine|training|legacy|mixed_precision)(\.\w+)*)?"
)
"""Where Keras keeps those classes."""
_FUNCTIONS = re.compile(
    r"(math|nn|compat\.v1\.nn|image|linalg|__operators__|keras\.activations)\.[\w.]+|[a-z_]+(\.[a-z]\w*_v2)?"
)
"""Of TensorFlow, that a layer of Keras 2 may call: those that compute."""
_LOOKUPS = ("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup")


def look_at_keras(value: Any, part: Part, look: Look) -> None:
    """Every class that a description names, wherever it stands in it."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if isinstance(one.get("class_name"), str):
                _look_at_class(one, part, look)
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def _look_at_class(one: dict[str, Any], part: Part, look: Look) -> None:
    name, module = one["class_name"], one.get("module")
    config = one.get("config")
    bare = name.rpartition(">")[2]
    if bare in _CODE:
        look.tell(part, "keras-code", _CODE[bare])
    elif isinstance(module, str) and module not in ("builtins", ""):
        _look_at_module(module, name, part, look)
    elif module == "builtins" and name not in ("function", "str", "int", "float", "bool", "tuple", "list", "dict"):
        look.tell(part, "keras-code", f"{name} of Python itself")
    elif bare in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod"):
        function = config.get("function") if isinstance(config, dict) else None
        if not (isinstance(function, str) and _FUNCTIONS.fullmatch(function)):
            look.tell(part, "keras-unknown", f"a call of {function or bare} of TensorFlow")
    elif module is None and not _is_known(bare) and name != "function":
        look.tell(part, "keras-unknown", f"the class {name}")
    if bare in _LOOKUPS and isinstance(config, dict) and isinstance(config.get("vocabulary"), str):
        look.tell(part, "outside", f"a {bare} that reads its words from {config['vocabulary']!r}")


def _look_at_module(module: str, name: str, part: Part, look: Look) -> None:
    """A class or function that is imported from ``module``."""
    if _MODULES.fullmatch(module) and _is_known(name):
        return
    top = module.partition(".")[0]
    rule = "keras-code" if top in OUTSIDE or top in ("keras", "tensorflow", "tf_keras") else "keras-unknown"
    look.tell(part, rule, f"{name}, imported from {module}")


def _is_known(name: str) -> bool:
    return name in _KNOWN or _FAMILIES.fullmatch(name) is not None or _MARKS.fullmatch(name) is not None
