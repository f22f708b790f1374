#include "apps/commands.h"
#include "lib/mem.h"
#include "nn/model/weights.h"
#include "nn/onnx/onnx.h"

static const char *out;

static const cli_option option_table[] = {
    {"out", CLI_STRING, &out, "FILE.onnx", "where the network goes; needed", 0, 0},
};

static const cli_command command = {"export", "PREFIX",
                                    "Writes the float network of the model PREFIX.sotto, PREFIX.weights as ONNX (opset 13). Its input is pixel / 255: the\n"
                                    "normalisation is part of the graph. The plan and the labels are not.",
                                    option_table, sizeof option_table / sizeof *option_table, 1, 1};

int cmd_export(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    if (out == NULL) {
        return cli_misuse(&command, "--out FILE.onnx is missing");
    }
    model_paths paths;
    sotto_model m = {0};
    uint8_t *data = NULL;
    size_t len = 0;
    int status = model_paths_of(&paths, args[0]);
    if (status == SOTTO_OK) {
        status = sotto_model_load(&m, paths.public_part, paths.weights);
    }
    if (status == SOTTO_OK) {
        status = sotto_onnx_write(&m, &data, &len);
    }
    if (status == SOTTO_OK) {
        status = sotto_file_write(out, data, len, 0600); /* weights are secret */
    }
    if (status == SOTTO_OK) {
        printf("written: %s, %zu bytes\n", out, len);
    }
    sotto_free_secret(data, len, 1);
    sotto_model_free(&m);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
