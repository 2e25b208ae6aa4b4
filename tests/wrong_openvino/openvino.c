// A stand-in of OpenVINO that computes wrong maps: whatever the model, 255 - frame. Just the functions of its C API that
// the engine calls, as openvino/c/openvino.h declares them.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int32_t Status;
typedef struct { char const* build; char const* description; } Version;
typedef struct { int64_t rank; int64_t* dims; } Shape;
typedef struct { size_t bytes; uint8_t* data; } Tensor;
typedef struct { Tensor *input, *output; } Request;

enum { OK = 0, U8 = 16 };
static int64_t const kShape[4] = {1, 1, 416, 576};
static size_t const kPixels = 416 * 576;
static int sAnything; // what handles point to that hold nothing

static Tensor* tensor(size_t bytes) {
    Tensor* made = malloc(sizeof *made);
    made->bytes = bytes;
    made->data = calloc(bytes, 1);
    return made;
}

Status ov_get_openvino_version(Version* version) {
    version->build = "2026.9.9-stand-in";
    version->description = "computes wrong";
    return OK;
}
void ov_version_free(Version* version) { (void)version; }
char const* ov_get_last_err_msg(void) { return "none"; }
void ov_free(char const* text) { (void)text; }

Status ov_core_create(void** core) { *core = &sAnything; return OK; }
void ov_core_free(void* core) { (void)core; }
Status ov_core_set_property(void const* core, char const* device, ...) { (void)core; (void)device; return OK; }
Status ov_core_read_model_from_memory_buffer(
    void const* core, char const* text, size_t size, void const* weights, void** model) {
    (void)core; (void)text; (void)size; (void)weights;
    *model = &sAnything;
    return OK;
}
Status ov_core_compile_model(
    void const* core, void const* model, char const* device, size_t properties, void** compiled, ...) {
    (void)core; (void)model; (void)device; (void)properties;
    *compiled = &sAnything;
    return OK;
}

void ov_model_free(void* model) { (void)model; }
Status ov_model_inputs_size(void const* model, size_t* size) { (void)model; *size = 1; return OK; }
Status ov_model_outputs_size(void const* model, size_t* size) { (void)model; *size = 1; return OK; }
Status ov_model_const_input_by_index(void const* model, size_t index, void** port) {
    (void)model; (void)index;
    *port = "frame";
    return OK;
}
Status ov_model_const_output_by_index(void const* model, size_t index, void** port) {
    (void)model; (void)index;
    *port = "nerve";
    return OK;
}
Status ov_port_get_any_name(void const* port, char** name) { *name = strdup(port); return OK; }
Status ov_port_get_element_type(void const* port, int32_t* type) { (void)port; *type = U8; return OK; }
Status ov_shape_create(int64_t rank, int64_t const* dims, Shape* shape) {
    shape->rank = rank;
    shape->dims = malloc(rank * sizeof *dims);
    memcpy(shape->dims, dims, rank * sizeof *dims);
    return OK;
}
Status ov_shape_free(Shape* shape) { free(shape->dims); shape->dims = NULL; shape->rank = 0; return OK; }
Status ov_const_port_get_shape(void const* port, Shape* shape) { (void)port; return ov_shape_create(4, kShape, shape); }

void ov_compiled_model_free(void* compiled) { (void)compiled; }
Status ov_compiled_model_inputs_size(void const* compiled, size_t* size) { (void)compiled; *size = 1; return OK; }
Status ov_compiled_model_outputs_size(void const* compiled, size_t* size) { (void)compiled; *size = 1; return OK; }
Status ov_compiled_model_get_property(void const* compiled, char const* key, char** value) {
    (void)compiled; (void)key;
    *value = strdup("f32");
    return OK;
}
Status ov_compiled_model_create_infer_request(void const* compiled, Request** request) {
    (void)compiled;
    *request = calloc(1, sizeof **request);
    return OK;
}

Status ov_tensor_create(int32_t type, Shape shape, Tensor** made) {
    (void)type;
    size_t bytes = 1;
    for (int64_t i = 0; i < shape.rank; ++i) bytes *= shape.dims[i];
    *made = tensor(bytes);
    return OK;
}
Status ov_tensor_get_element_type(Tensor const* tensor, int32_t* type) { (void)tensor; *type = U8; return OK; }
Status ov_tensor_get_byte_size(Tensor const* tensor, size_t* size) { *size = tensor->bytes; return OK; }
Status ov_tensor_data(Tensor const* tensor, void** data) { *data = tensor->data; return OK; }
void ov_tensor_free(Tensor* tensor) { free(tensor->data); free(tensor); }

Status ov_infer_request_get_input_tensor_by_index(Request const* request, size_t index, Tensor** made) {
    (void)request; (void)index;
    *made = tensor(kPixels);
    return OK;
}
Status ov_infer_request_get_output_tensor_by_index(Request const* request, size_t index, Tensor** made) {
    return ov_infer_request_get_input_tensor_by_index(request, index, made);
}
Status ov_infer_request_set_input_tensor(Request* request, Tensor const* tensor) {
    request->input = (Tensor*)tensor;
    return OK;
}
Status ov_infer_request_set_output_tensor(Request* request, Tensor const* tensor) {
    request->output = (Tensor*)tensor;
    return OK;
}
Status ov_infer_request_infer(Request* request) {
    for (size_t i = 0; i < kPixels; ++i) request->output->data[i] = 255 - request->input->data[i];
    return OK;
}
void ov_infer_request_free(Request* request) { free(request); }
