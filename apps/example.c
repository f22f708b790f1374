/* A whole private classification with the library: a server thread and a client. example MODEL_PREFIX IMAGE.pgm */
#include <nn/sotto.h>
#include <pthread.h>
#include <stdio.h>

static void *serve(void *server)
{
    return sotto_server_run(server) == SOTTO_OK ? NULL : server;
}

int main(int argc, char **argv)
{
    char public_part[1024], weights[1024];
    unsigned char pixels[28 * 28];
    double logits[10];
    sotto_server *server = NULL;
    sotto_client *client = NULL;
    pthread_t thread;
    FILE *image = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (image == NULL || fscanf(image, "P5 28 28 255%*c") != 0 || fread(pixels, 1, sizeof pixels, image) != sizeof pixels) {
        fprintf(stderr, "usage: example MODEL_PREFIX IMAGE.pgm (28 x 28)\n");
        return 2;
    }
    fclose(image);
    snprintf(public_part, sizeof public_part, "%s.sotto", argv[1]);
    snprintf(weights, sizeof weights, "%s.weights", argv[1]);
    if (sotto_server_new(&server, public_part, weights, NULL) != SOTTO_OK || sotto_server_listen(server, "127.0.0.1", 0) != SOTTO_OK ||
        pthread_create(&thread, NULL, serve, server) != 0 ||
        sotto_client_connect(&client, public_part, "127.0.0.1", sotto_server_port(server), NULL) != SOTTO_OK ||
        sotto_client_infer(client, pixels, sizeof pixels, logits) != SOTTO_OK) {
        fprintf(stderr, "example: %s\n", sotto_error_message());
        return 1;
    }
    size_t best = 0;
    for (size_t i = 1; i < 10; i++) best = logits[i] > logits[best] ? i : best;
    printf("%s\n", sotto_client_label(client, best));
    sotto_client_close(client);
    sotto_server_stop(server);
    pthread_join(thread, NULL);
    sotto_server_free(server);
    return 0;
}
