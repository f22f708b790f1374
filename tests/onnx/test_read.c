#include "tests/support/support.h"

#include <math.h>

#include "lib/mem.h"
#include "nn/model/text.h"
#include "nn/onnx/onnx.h"
#include "nn/plain/float.h"
#include "tests/onnx/graph.h"

static graph_bytes file;

static char note_text[256];

static void keep_note(void *ctx, const char *text)
{
    (void)ctx;
    snprintf(note_text, sizeof note_text, "%s", text);
}

static int read_text(sotto_model *m, const char *text)
{
    const sotto_onnx_options options = {.note = keep_note};
    note_text[0] = '\0';
    graph_make(&file, text);
    return sotto_onnx_read(m, file.data, file.len, &options);
}

/* ---- what graphs become: the lines of the model after the input's --------------------------------------------------- */

#define CONV "float w 2,3,3,3 = 1 2 -1\nfloat b 2 = 0.5 -1\n"

static const struct accepted {
    const char *graph, *lines;
} accepted[] = {
    {"input x N,3,8,8\n" CONV "Conv y x w b kernel_shape=3,3 pads=1,1,1,1\noutput y\n", "conv y input out=2 kernel=3x3 stride=1x1 pad=1,1,1,1 groups=1\n"},
    {"input x N,3,8,8\n" CONV "Conv /a/y:0 x w b strides=2,2 auto_pad='SAME_UPPER'\noutput /a/y:0\n",
     "conv a.y.0 input out=2 kernel=3x3 stride=2x2 pad=0,0,1,1 groups=1\n"},
    {"input x N,3,8,8\n" CONV "Conv y x w - strides=2,2 auto_pad='SAME_LOWER'\noutput y\n", "conv y input out=2 kernel=3x3 stride=2x2 pad=1,1,0,0 groups=1\n"},
    {"input x N,3,8,8\n" CONV "Conv y x w auto_pad='VALID'\noutput y N,2,6,6\n", "conv y input out=2 kernel=3x3 stride=1x1 pad=0,0,0,0 groups=1\n"},
    /* padding before a convolution is its own; what is larger than the kernel is not */
    {"input x N,3,8,8\nint p 8 = 0 0 1 1 0 0 2 2\n" CONV "Pad q x p\nConv y q w b\noutput y\n", "conv y input out=2 kernel=3x3 stride=1x1 pad=1,1,2,2 groups=1\n"},
    {"input x N,3,8,8\nint p 8 = 0 0 3 0 0 0 0 0\n" CONV "Pad q x p\nConv y q w b\noutput y\n",
     "pad q input pad=3,0,0,0 channels=0,0\nconv y q out=2 kernel=3x3 stride=1x1 pad=0,0,0,0 groups=1\n"},
    {"opset 10\ninput x N,3,8,8\nPad y x pads=0,1,0,0,0,2,0,0 mode='constant' value=0.0\noutput y\n", "pad y input pad=0,0,0,0 channels=1,2\n"},
    /* units */
    {"input x N,3,8,8\nfloat lo - = 0\nfloat hi - = 6\nRelu a x\nClip y a lo hi\nRelu z y\noutput z\n", "clip y input\n"},
    {"opset 7\ninput x N,3,8,8\nClip y x min=0.0 max=6.0\noutput y\n", "clip y input\n"},
    {"input x N,3,8,8\nfloat lo - = 0\nClip y x lo\noutput y\n", "relu y input\n"},
    {"input x N,3,8,8\nfloat m 3,1,1 = 1 2 3\nRelu a x\nMin y m a\noutput y\n", "clip y input\n"},
    {"input x N,3,8,8\nfloat s 3,1,1 = 0 1 1\nPRelu y x s\noutput y\n", "act y input\nunits y 0 relu,identity*2\n"},
    /* polynomials, however they are written */
    {"input x N,3,8,8\nfloat a 1 = 0.5\nfloat b 1 = 0.2\nfloat c 1 = 0.25\nRelu r x\nMul p r a\nAdd q p b\nMul s r c\nMul t s r\nAdd y q t\noutput y\n",
     "relu r input\nact y r\nunits y 0 square*3\n"},
    {"input x N,3,8,8\nfloat e - = 3\nfloat k 1,3,1,1 = 0 1 2\nRelu r x\nPow p r e\nMul q p k\nSub y q r\noutput y\n",
     "relu r input\nact y r\nunits y 0 square,cubic*2\n"},
    {"input x N,3,8,8\nfloat k 3,1,1 = 0 1 2\nRelu r x\nMul s r r\nMul p s k\nSub q p s\nAdd t q s\nSub u t r\nAdd y u r\noutput y\n",
     "relu r input\nact y r\nunits y 0 zero,square*2\n"},
    /* affine maps: the input's are the normalisation, after a linear node a bias, elsewhere a batch norm */
    {"input x N,3,8,8\nfloat m 1,3,1,1 = 0.5 0.25 0.125\nfloat s 1 = 0.5\nSub a x m\nDiv b a s\nRelu y b\noutput y\n", "relu y input\n"},
    {"input x N,3,8,8\n" CONV "float k 2,1,1 = 3 4\nConv y x w b\nAdd z y k\noutput z\n", "conv y input out=2 kernel=3x3 stride=1x1 pad=0,0,0,0 groups=1\n"},
    {"input x N,3,8,8\nfloat k - = 2\nRelu r x\nMul y r k\noutput y\n", "relu r input\nbatchnorm y r epsilon=9.53674316e-07\n"},
    {"input x N,3,8,8\n" CONV "float k - = 2\nConv c x w b\nAdd y c k\nRelu r c\nAdd z y r\noutput z\n",
     "conv c input out=2 kernel=3x3 stride=1x1 pad=0,0,0,0 groups=1\nbatchnorm y c epsilon=9.53674316e-07\nrelu r c\nadd z y r\n"},
    {"opset 7\ninput x N,3,8,8\nfloat g 3 = 1 2 3\nBatchNormalization y x g g g g epsilon=0.001 momentum=0.9\noutput y\n", "batchnorm y input epsilon=0.00100000005\n"},
    /* pools */
    {"input x N,3,8,8\nMaxPool y x kernel_shape=3,3 strides=2,2 ceil_mode=1\noutput y N,3,4,4\n", "maxpool y input kernel=3x3 stride=2x2 pad=0,0,1,1\n"},
    {"input x N,3,8,8\nMaxPool y x kernel_shape=2,2 strides=2,2 ceil_mode=1\noutput y\n", "maxpool y input kernel=2x2 stride=2x2 pad=0,0,0,0\n"},
    {"input x N,3,8,8\nAveragePool y x kernel_shape=2,2 strides=2,2\noutput y\n", "avgpool y input kernel=2x2 stride=2x2 pad=0,0,0,0\n"},
    {"input x N,3,8,8\nAveragePool y x kernel_shape=3,3 pads=1,1,1,1 count_include_pad=1\noutput y\n", "avgpool y input kernel=3x3 stride=1x1 pad=1,1,1,1\n"},
    {"input x N,3,8,8\nint p 8 = 0 0 1 1 0 0 1 1\nPad q x p\nAveragePool y q kernel_shape=3,3\noutput y\n", "avgpool y input kernel=3x3 stride=1x1 pad=1,1,1,1\n"},
    {"input x N,3,8,8\nMaxPool y x kernel_shape=1,1 strides=2,2\noutput y\n", "avgpool y input kernel=1x1 stride=2x2 pad=0,0,0,0\n"},
    {"input x N,3,8,8\nReduceMean y x axes=2,3 keepdims=0\noutput y N,3\n", "globalavg y input\n"},
    {"input x N,3,8,8\nReduceMean y x axes=-1,-2 keepdims=1\noutput y N,3,1,1\n", "globalavg y input\n"},
    /* shortcuts of option A: subsampling, then channels of zeros */
    {"input x N,3,8,8\nint o 1 = 0\nint e 1 = 9223372036854775807\nint h 1 = 2\nint v 1 = 3\nint s 1 = 2\nint p 8 = 0 1 0 0 0 1 0 0\n"
     "Slice a x o e h s\nSlice b a o e v s\nPad y b p\noutput y N,5,4,4\n",
     "avgpool b input kernel=1x1 stride=2x2 pad=0,0,0,0\npad y b pad=0,0,0,0 channels=1,1\n"},
    {"opset 9\ninput x N,3,8,8\nSlice y x axes=1,2 starts=0,0 ends=3,100\nRelu z y\noutput z\n", "relu z input\n"},
    /* shapes */
    {"input x N,3,2,2\nfloat w 12,2 = 1 2 3\nint s 2 = 0 -1\nReshape f x s\nMatMul m f w\noutput m\n", "dense m input out=2\n"},
    {"input x 5,3,2,2\nfloat w 2,12 = 1 2 3\nint s 2 = 5 12\nReshape f x s\nGemm m f w transB=1\noutput m\n", "dense m input out=2\n"},
    {"input x N,3,2,2\nfloat w 2,12 = 1\nint z - = 0\nint a 1 = 0\nint k 1 = -1\nShape h x\nGather g h z axis=0\nUnsqueeze u g a\nConcat s u k axis=0\n"
     "Reshape f x s\nGemm m f w transB=1 alpha=2.0\noutput m\n",
     "dense m input out=2\n"},
    {"input x N,3,2,2\nFlatten f x\nRelu y f\noutput y\n", "flatten f input\nrelu y f\n"},
    {"input x N,3,2,2\nint s 4 = -1 3 2 2\nFlatten f x\nReshape g f s\nRelu y g\noutput y\n", "relu y input\n"},
    {"input x N,20\nfloat w 20,2 = 1\nGemm y x w\noutput y\n", "dense y input out=2\n"},
    {"input x N,3,2,2\nint a 2 = 2 3\nGlobalAveragePool g x\nSqueeze f g a\nUnsqueeze h f a\nRelu y h\noutput y\n", "globalavg g input\nrelu y g\n"},
    {"input x N,3,2,2\nRelu a x\nMaxPool b x kernel_shape=1,1\nConcat y a b x axis=1\noutput y N,9,2,2\n", "relu a input\nconcat concat a input\nconcat y concat input\n"},
    {"input x N,3,2,2\nRelu a x\nAdd y a x\nDropout z y\nIdentity o z\noutput o\n", "relu a input\nadd y a input\n"},
    {"input x N,3,1,1\nRelu a x\nSoftmax s a axis=1\noutput s\n", "relu a input\n"},
    /* what nothing needs goes */
    {"input x N,3,2,2\nRelu a x\nMaxPool b a kernel_shape=2,2\nRelu dead b\nGlobalAveragePool y a\noutput y\n", "relu a input\nglobalavg y a\n"},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        sotto_model m;
        char *text;
        size_t len;
        if (read_text(&m, accepted[i].graph) != SOTTO_OK) {
            fail_msg("%s\nrefused: %s", accepted[i].graph, sotto_error_message());
        }
        assert_ok(sotto_model_print(&m, &text, &len));
        const char *lines = strchr(strstr(text, "\ninput ") + 1, '\n') + 1;
        if (strcmp(lines, accepted[i].lines) != 0) {
            fail_msg("%s\ngave:\n%sexpected:\n%s", accepted[i].graph, lines, accepted[i].lines);
        }
        sotto_free(text);
        sotto_model_free(&m);
    }
}

/* ---- refusals say what and where ------------------------------------------------------------------------------------ */

static const struct refused {
    const char *graph;
    int status;
    const char *message; /* a part of it */
} refused[] = {
    {"opset 18\ninput x N,3,8,8\nRelu y x\noutput y\n", SOTTO_ERR_VERSION, "operator set 18"},
    {"opset 6\ninput x N,3,8,8\nRelu y x\noutput y\n", SOTTO_ERR_VERSION, "operator set 6"},
    {"input x N,3,8,8\nSigmoid y x\noutput y\n", SOTTO_ERR_UNSUPPORTED, "node y (Sigmoid): supported: Conv Gemm"},
    {"input x N,3,8,8\n" CONV "Conv y x w b dilations=2,2\noutput y\n", SOTTO_ERR_UNSUPPORTED, "node y (Conv): attribute dilations"},
    {"input x N,3,8,8\n" CONV "Conv y x w b group=3\noutput y\n", SOTTO_ERR_FORMAT, "in 3 groups do not fit 3 input channels"},
    {"input x N,3,8,8\n" CONV "Conv y x w b group=0\noutput y\n", SOTTO_ERR_FORMAT, "in 0 groups"},
    {"input x N,3,8,8\n" CONV "Conv y x w b kernel_shape=2,3\noutput y\n", SOTTO_ERR_FORMAT, "kernel_shape"},
    {"input x N,3,8,8\n" CONV "Conv y x w b strides=0,1\noutput y\n", SOTTO_ERR_UNSUPPORTED, "strides"},
    {"input x N,3,8,8\n" CONV "Conv y x w b pads=3,0,0,0\noutput y\n", SOTTO_ERR_UNSUPPORTED, "attribute pads"},
    {"input x N,3,8,8\n" CONV "Conv y x w b pads=-1,0,0,0\noutput y\n", SOTTO_ERR_UNSUPPORTED, "attribute pads"},
    {"input x N,3,8,8\n" CONV "Conv y x w b auto_pad='ODD'\noutput y\n", SOTTO_ERR_UNSUPPORTED, "attribute auto_pad is 'ODD'; supported: NOTSET"},
    {"input x N,3,8,8\n" CONV "Conv y x w b colour=1\noutput y\n", SOTTO_ERR_UNSUPPORTED, "attribute colour is not supported; supported: auto_pad"},
    {"input x N,3,8,8\n" CONV "Conv y x w b strides=1.0\noutput y\n", SOTTO_ERR_FORMAT, "attribute strides is of type 1"},
    {"input x N,3,8,8\n" CONV "Conv y x nothing b\noutput y\n", SOTTO_ERR_FORMAT, "reads nothing, which no earlier node"},
    {"input x N,3,8,8\n" CONV "Conv y x x b\noutput y\n", SOTTO_ERR_UNSUPPORTED, "expected a constant of floats, not x"},
    {"input x N,3,2,2\n" CONV "Conv y x w b\noutput y\n", SOTTO_ERR_FORMAT, "does not fit"},
    {"input x N,3,8,8\nfloat w 3,3 = 1\nConv y x w\noutput y\n", SOTTO_ERR_UNSUPPORTED, "filters x channels"},
    {"input x N,3,8,8\nfloat w 2,3,3,3 = nan\nConv y x w\noutput y\n", SOTTO_ERR_FORMAT, "is no finite number"},
    {"input x N,3,8,8\nint w 2,3,3,3 = 1\nConv y x w\noutput y\n", SOTTO_ERR_UNSUPPORTED, "element type 7"},
    {"input x N,3,8,8\nfloat w 192,2 = 1\nMatMul y x w\noutput y\n", SOTTO_ERR_UNSUPPORTED, "a flat value"},
    {"input x N,12\nfloat w 12,2 = 1\nGemm y x w transA=1\noutput y\n", SOTTO_ERR_UNSUPPORTED, "attribute transA is 1; supported: 0"},
    {"input x N,12\nfloat w 12,2 = 1\nfloat c 3,2 = 1\nGemm y x w c\noutput y\n", SOTTO_ERR_UNSUPPORTED, "its bias C"},
    {"input x N,12\nfloat w 12,2 = 1e38\nGemm y x w alpha=100.0\noutput y\n", SOTTO_ERR_FORMAT, "too large for a float"},
    {"input x N,3,8,8\nfloat g 3 = 1\nfloat v 3 = -1\nBatchNormalization y x g g g v\noutput y\n", SOTTO_ERR_FORMAT, "below 0"},
    {"input x N,3,8,8\nfloat g 2 = 1\nBatchNormalization y x g g g g\noutput y\n", SOTTO_ERR_FORMAT, "2 numbers for 3 channels"},
    {"opset 14\ninput x N,3,8,8\nfloat g 3 = 1\nBatchNormalization y x g g g g training_mode=1\noutput y\n", SOTTO_ERR_UNSUPPORTED, "training_mode is 1"},
    {"input x N,3,8,8\nfloat lo - = -1\nfloat hi - = 6\nClip y x lo hi\noutput y\n", SOTTO_ERR_UNSUPPORTED, "min is -1; supported: 0"},
    {"input x N,3,8,8\nfloat lo - = 0\nfloat hi - = 0\nClip y x lo hi\noutput y\n", SOTTO_ERR_UNSUPPORTED, "max is 0"},
    {"input x N,3,8,8\nfloat m 1 = 6\nMin y x m\noutput y\n", SOTTO_ERR_UNSUPPORTED, "minimum of a relu"},
    {"input x N,3,8,8\nfloat s 3,1,1 = 0.1\nPRelu y x s\noutput y\n", SOTTO_ERR_UNSUPPORTED, "a slope of 0.1"},
    {"input x N,3,8,8\nAveragePool y x kernel_shape=3,3 pads=1,1,1,1\noutput y\n", SOTTO_ERR_UNSUPPORTED, "count_include_pad is 0"},
    {"input x N,3,8,8\nAveragePool y x kernel_shape=3,3 strides=2,2 ceil_mode=1\noutput y\n", SOTTO_ERR_UNSUPPORTED, "ceil_mode"},
    {"input x N,3,8,8\nMaxPool y x strides=1,1\noutput y\n", SOTTO_ERR_FORMAT, "kernel_shape is missing"},
    {"input x N,3,8,8\nMaxPool y x kernel_shape=[3]\noutput y\n", SOTTO_ERR_UNSUPPORTED, "kernel_shape"},
    {"input x N,3,8,8\nReduceMean y x axes=1,2\noutput y\n", SOTTO_ERR_UNSUPPORTED, "axes; supported: height and width"},
    {"input x N,3,8,8\nRelu r x\nMul y r x\noutput y\n", SOTTO_ERR_UNSUPPORTED, "squares and cubes"},
    {"input x N,3,8,8\nMul s x x\nMul y s s\noutput y\n", SOTTO_ERR_UNSUPPORTED, "squares and cubes"},
    {"input x N,3,8,8\nfloat k 8 = 1\nAdd y x k\noutput y\n", SOTTO_ERR_UNSUPPORTED, "one for each of the 3 channels"},
    {"input x N,3,8,8\nfloat k 1 = 0\nDiv y x k\noutput y\n", SOTTO_ERR_UNSUPPORTED, "other than 0"},
    {"input x N,3,8,8\nfloat k 1 = 1\nDiv y k x\noutput y\n", SOTTO_ERR_UNSUPPORTED, "by a constant"},
    {"input x N,3,8,8\nGlobalAveragePool g x\nAdd y g x\noutput y\n", SOTTO_ERR_UNSUPPORTED, "expected one shape"},
    {"input x N,3,8,8\nfloat k 1 = 1e38\nMul a x k\nMul y a k\noutput y\n", SOTTO_ERR_FORMAT, "too large"},
    {"input x N,3,8,8\nRelu a x\nConcat y x a axis=2\noutput y\n", SOTTO_ERR_UNSUPPORTED, "axis is 2; supported: 1"},
    {"input x N,3,8,8\nGlobalAveragePool g x\nConcat y x g axis=1\noutput y\n", SOTTO_ERR_FORMAT, "input 1 is 1 x 1"},
    {"input x N,3,8,8\nint p 8 = 1 0 0 0 0 0 0 0\nPad y x p\noutput y\n", SOTTO_ERR_UNSUPPORTED, "none of the batch"},
    {"input x N,3,8,8\nint p 8 = 0 0 -1 0 0 0 0 0\nPad y x p\noutput y\n", SOTTO_ERR_UNSUPPORTED, "pads; supported: 0"},
    {"input x N,3,8,8\nint p 8 = 0 0 1 0 0 0 0 0\nfloat v - = 1\nPad y x p v\noutput y\n", SOTTO_ERR_UNSUPPORTED, "other than 0"},
    {"opset 7\ninput x N,3,8,8\nPad y x pads=0,0,1,1,0,0,1,1 mode='reflect'\noutput y\n", SOTTO_ERR_UNSUPPORTED, "mode is 'reflect'; supported: constant"},
    {"opset 9\ninput x N,3,8,8\nSlice y x axes=2 starts=1 ends=8\noutput y\n", SOTTO_ERR_FORMAT, "type"},
    {"opset 9\ninput x N,3,8,8\nSlice y x axes=[2] starts=[1] ends=[8]\noutput y\n", SOTTO_ERR_UNSUPPORTED, "from the first on"},
    {"opset 9\ninput x N,3,8,8\nSlice y x axes=[2] starts=[0] ends=[5]\noutput y\n", SOTTO_ERR_UNSUPPORTED, "to the end"},
    {"input x N,3,8,8\nFlatten y x axis=2\noutput y\n", SOTTO_ERR_UNSUPPORTED, "axis is 2; supported: 1"},
    {"input x N,3,8,8\nint s 2 = 64 3\nReshape y x s\noutput y\n", SOTTO_ERR_UNSUPPORTED, "keep the images of the batch apart"},
    {"input x N,3,8,8\nint s 3 = -1 3 64\nReshape y x s\noutput y\n", SOTTO_ERR_UNSUPPORTED, "that flatten an image"},
    {"input x N,3,8,8\nint a 1 = 2\nSqueeze y x a\noutput y\n", SOTTO_ERR_FORMAT, "has 8 elements"},
    {"input x N,3,8,8\nGlobalAveragePool g x\nSoftmax s g axis=1\nRelu y s\noutput y\n", SOTTO_ERR_UNSUPPORTED, "output of a softmax"},
    {"input x N,3,8,8\nSoftmax y x axis=1\noutput y\n", SOTTO_ERR_UNSUPPORTED, "over the classes"},
    {"input x N,3,8,8\nRelu y x\nRelu y x\noutput y\n", SOTTO_ERR_FORMAT, "given to two values"},
    {"input x N,3,8,8\nRelu y x\noutput z\n", SOTTO_ERR_FORMAT, "output z is given by no node"},
    {"input x N,3,8,8\nRelu y x\noutput y N,3,8,9\n", SOTTO_ERR_FORMAT, "value y"},
    {"input x N,3,8,8\nRelu y x\nshape y N,4,8,8\noutput y\n", SOTTO_ERR_FORMAT, "N x 3 x 8 x 8"},
    {"input x N,3,8,8\nRelu y x\noutput y\noutput x\n", SOTTO_ERR_UNSUPPORTED, "2 outputs"},
    {"input x N,3,8,8\ninput z N,3,8,8\nRelu y x\noutput y\n", SOTTO_ERR_UNSUPPORTED, "2 inputs"},
    {"input x N,17,8,8\nRelu y x\noutput y\n", SOTTO_ERR_LIMIT, "17 channels"},
    {"input x N,3,N,8\nRelu y x\noutput y\n", SOTTO_ERR_UNSUPPORTED, "images of a fixed size"},
    {"input x N,3,8\nRelu y x\noutput y\n", SOTTO_ERR_UNSUPPORTED, "N x channels x height x width"},
    {"input x N,3,8,8\noutput x\n", SOTTO_ERR_FORMAT, "at least one node"},
};

static void test_refused(void **state)
{
    static const sotto_model zero;
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        sotto_model m;
        const int status = read_text(&m, refused[i].graph);
        if (status != refused[i].status || strstr(sotto_error_message(), refused[i].message) == NULL) {
            fail_msg("%s\ngave %s: %s\nexpected %s with '%s'", refused[i].graph, sotto_status_name(status), sotto_error_message(),
                     sotto_status_name(refused[i].status), refused[i].message);
        }
        assert_memory_equal(&m, &zero, sizeof zero);
    }
}

/* ---- numbers -------------------------------------------------------------------------------------------------------- */

static void test_normalisation(void **state)
{
    sotto_model m;
    (void)state;
    assert_ok(read_text(&m, "input x N,2,1,1\nfloat m 1,2,1,1 = 0.485 0.456\nfloat s 1,2,1,1 = 0.229 0.224\nSub a x m\nDiv b a s\nRelu y b\noutput y\n"));
    assert_true(m.mean[0] == 0.485f && m.mean[1] == 0.456f && m.std[0] == 0.229f && m.std[1] == 0.224f);
    sotto_model_free(&m);
    /* 2 x - 1 */
    assert_ok(read_text(&m, "input x N,2,1,1\nfloat k - = 2\nfloat l - = 1\nMul a x k\nSub b a l\nRelu y b\noutput y\n"));
    assert_true(m.mean[0] == 0.5f && m.std[1] == 0.5f);
    sotto_model_free(&m);
    /* a factor below 0, or a second reader of the raw input: no normalisation */
    assert_ok(read_text(&m, "input x N,2,1,1\nfloat k - = -2\nMul a x k\nRelu y a\noutput y\n"));
    assert_true(m.std[0] == 1.0f && m.node_count == 3);
    sotto_model_free(&m);
    assert_ok(read_text(&m, "input x N,2,1,1\nfloat k - = 2\nMul a x k\nRelu y a\nAdd z x y\noutput z\n"));
    assert_true(m.std[0] == 1.0f && m.node_count == 4);
    sotto_model_free(&m);
}

static void test_softmax_noted(void **state)
{
    sotto_model m;
    (void)state;
    assert_ok(read_text(&m, "opset 9\ninput x N,3,1,1\nRelu a x\nLogSoftmax s a\noutput s\n"));
    assert_non_null(strstr(note_text, "LogSoftmax"));
    sotto_model_free(&m);
}

/* 3 - x + 2 x^2, built from pieces, at x = 2 and -1. */
static void test_polynomial(void **state)
{
    const float image[2] = {2.0f, -1.0f};
    sotto_model m;
    sotto_float_run *run;
    (void)state;
    assert_ok(read_text(&m, "input x N,2,1,1\nfloat t - = 2\nfloat u - = 3\nfloat o - = 0\nfloat w 2,2,1,1 = 1 0 0 1\nConv c x w\nPow s c t\nMul d s t\nSub e u c\n"
                            "Add y e d\noutput y\n"));
    assert_ok(sotto_float_run_new(&run, &m));
    assert_ok(sotto_float_infer(run, image));
    assert_true(sotto_float_value(run, m.node_count - 1)[0] == 9.0f);
    assert_true(sotto_float_value(run, m.node_count - 1)[1] == 6.0f);
    sotto_float_run_free(run);
    sotto_model_free(&m);
}

/* Which of several inputs is the image. */
static void test_named_input(void **state)
{
    const sotto_onnx_options options = {.input = "z"}, wrong = {.input = "q"};
    sotto_model m;
    (void)state;
    graph_make(&file, "input x N,3,8,8\ninput z N,2,8,8\nRelu y z\noutput y\n");
    assert_ok(sotto_onnx_read(&m, file.data, file.len, &options));
    assert_int_equal(m.nodes[0].shape.c, 2);
    sotto_model_free(&m);
    assert_status(SOTTO_ERR_MISMATCH, sotto_onnx_read(&m, file.data, file.len, &wrong));
}

/* ---- files that are none ---------------------------------------------------------------------------------------------- */

static const char whole[] = "input x N,3,8,8\nfloat k 3,1,1 = 1 2 3\nfloat t - = 0.5\nfloat m 3,1,1 = 0.5\n" CONV
                            "Sub i x m\nRelu r i\nMul s r r\nMul p s k\nAdd q p t\nConv c q w b\nMul a c t\nRelu d a\nPRelu e r k1\nAdd f e r\n"
                            "ReduceMean g f axes=2,3 keepdims=0\nGemm y g v c0\noutput y\n"
                            "float k1 3,1,1 = 0 1 0\nfloat v 3,2 = 1 2\nfloat c0 2 = 1\n";

static void test_cut_off(void **state)
{
    sotto_model m;
    (void)state;
    assert_ok(read_text(&m, whole));
    sotto_model_free(&m);
    const size_t len = file.len;
    for (size_t n = 0; n < len; n++) {
        assert_int_not_equal(sotto_onnx_read(&m, file.data, n, NULL), SOTTO_OK);
    }
}

static void test_memory(void **state)
{
    static const sotto_model zero;
    sotto_model m;
    (void)state;
    graph_make(&file, whole);
    for (long k = 0;; k++) {
        sotto_calloc_fail_after(k);
        const int status = sotto_onnx_read(&m, file.data, file.len, NULL);
        sotto_calloc_fail_after(-1);
        if (status == SOTTO_OK) {
            assert_true(k > 20);
            sotto_model_free(&m);
            break;
        }
        /* inside protobuf-c a failure cannot be told from bytes that do not decode */
        assert_true(status == SOTTO_ERR_MEMORY || status == SOTTO_ERR_FORMAT);
        assert_memory_equal(&m, &zero, sizeof zero);
    }
}

/* Field, wire type 2, and the length of what follows. */
static size_t header(uint8_t *out, unsigned field, size_t len)
{
    size_t n = 0;
    out[n++] = (uint8_t)(field << 3 | 2);
    for (; len > 0x7f; len >>= 7) {
        out[n++] = (uint8_t)((len & 0x7f) | 0x80);
    }
    out[n++] = (uint8_t)len;
    return n;
}

/* Two bytes of an empty submessage or string cost a struct; a field given again and again is merged by copying. All end at the allowance. */
static void test_amplification(void **state)
{
    enum { EMPTY_NODES, EMPTY_OUTPUTS, MANY_GRAPHS, PATTERNS };
    const size_t count = (size_t)3 << 20;
    uint8_t *data = malloc(4 * count + 16);
    sotto_model m;
    (void)state;
    assert_non_null(data);
    for (unsigned pattern = 0; pattern < PATTERNS; pattern++) {
        size_t pos = 0;
        if (pattern == EMPTY_NODES) {
            pos += header(data, 7, 2 * count);
        } else if (pattern == EMPTY_OUTPUTS) {
            pos += header(data, 7, 2 * count + 5);
            pos += header(data + pos, 1, 2 * count);
        }
        for (size_t i = 0; i < count; i++) {
            pos += pattern == MANY_GRAPHS ? header(data + pos, 7, 2) : 0;
            pos += header(data + pos, pattern == EMPTY_OUTPUTS ? 2 : 1, 0);
        }
        assert_status(SOTTO_ERR_FORMAT, sotto_onnx_read(&m, data, pos, NULL));
        assert_non_null(strstr(sotto_error_message(), "more memory than the file"));
    }
    free(data);
}

/* One constant for every one of many nodes: the weights may be some times the file, not a thousand times. */
static void test_shared_weights(void **state)
{
    static char text[GRAPH_MAX];
    sotto_model m;
    size_t pos = (size_t)sprintf(text, "input x N,16,8,8\nfloat w 16,16,5,5 = 1\nConv y0 x w pads=2,2,2,2\n");
    (void)state;
    for (unsigned i = 1; i < 400; i++) {
        pos += (size_t)snprintf(text + pos, sizeof text - pos, "Conv y%u y%u w pads=2,2,2,2\n", i, i - 1);
    }
    (void)snprintf(text + pos, sizeof text - pos, "output y399\n");
    assert_status(SOTTO_ERR_LIMIT, read_text(&m, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),     cmocka_unit_test(test_refused),       cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_softmax_noted), cmocka_unit_test(test_polynomial),   cmocka_unit_test(test_named_input),
        cmocka_unit_test(test_cut_off),      cmocka_unit_test(test_memory),        cmocka_unit_test(test_amplification),
        cmocka_unit_test(test_shared_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
