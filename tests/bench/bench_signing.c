/*
 * Leaves a second from the signer's own process, asked over a line of packets as a worker does,
 * without a limit: one at a time, and many at once.
 *
 *     bench_signing [SECONDS]     for each figure (1); best of three
 */
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/child.h"
#include "daemon/signing.h"
#include "trust/sign.h"

enum { ROUNDS = 3, LATE_MS = 20000 };

static double seconds = 1;
static char state_dir[] = "/tmp/dejunk-bench-XXXXXX";
static struct config *config;
static int channel, line;
static pid_t signer;

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench_signing: %s failed\n", what);
        exit(1);
    }
}

static double clock_s(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void wait_for(int fd, short events)
{
    struct pollfd ready = { .fd = fd, .events = events };

    must(poll(&ready, 1, LATE_MS) == 1, "waiting");
}

static void read_config(void)
{
    char text[200];
    struct config_source source = { .name = SPAN("bench") };
    struct config_sources sources = { .items = &source, .count = 1 };
    struct error error;

    must(mkdtemp(state_dir) != NULL, "a directory");
    snprintf(text, sizeof text, "state_dir = \"%s\"\nlog_level = warning\nleaf_rate = 0\n",
             state_dir);
    source.text = span_text(text);
    must(config_parse(&config, &sources, &error) == ERROR_NONE, "the config");
}

static void start(void)
{
    struct message message = message_of(MESSAGE_SIGNER), said;
    struct error error;
    int ends[2];

    read_config();
    must(message_channel(ends, &error) == ERROR_NONE, "a channel");
    signer = child_fork();
    must(signer >= 0, "fork");
    if (signer == 0) {
        const struct crew_begin begin = { .config = config };
        const struct crew_start as = { .begin = &begin, .channel = ends[1] };

        _exit(signing_run(&as));
    }
    close(ends[1]);
    channel = ends[0];
    do {
        wait_for(channel, POLLIN);
        must(message_receive(channel, &said, &error) == MESSAGE_GOT, "the signer");
        if (said.fd >= 0)
            close(said.fd);
    } while (said.type != MESSAGE_READY);
    must(message_channel(ends, &error) == ERROR_NONE, "a line");
    message.fd = ends[1];
    must(message_send(channel, &message, &error) == ERROR_NONE, "a message");
    close(ends[1]);
    line = ends[0];
}

static void stop(void)
{
    char path[100];

    close(channel);
    must(waitpid(signer, NULL, 0) == signer, "its end");
    snprintf(path, sizeof path, "%s/ca/authority.pem", state_dir);
    remove(path);
    snprintf(path, sizeof path, "%s/ca/root.pem", state_dir);
    remove(path);
    snprintf(path, sizeof path, "%s/ca", state_dir);
    remove(path);
    remove(state_dir);
    config_unref(&config);
}

/* ---- asking ---- */

static char packet[SIGN_REQUEST_BYTES];
static size_t packet_size;

static void make_packet(void)
{
    struct sign_request request = { .lifetime_s = SIGN_LIFETIME_S,
                                    .usages = SIGN_FOR_SERVERS,
                                    .name_count = 3 };
    EVP_PKEY *key = EVP_EC_gen("P-256");
    unsigned char *point = NULL;

    must(EVP_PKEY_get1_encoded_public_key(key, &point) == SIGN_KEY_BYTES, "a key");
    memcpy(request.key, point, SIGN_KEY_BYTES);
    OPENSSL_free(point);
    EVP_PKEY_free(key);
    request.names[0] = (struct sign_name){ HOSTNAME_NAME, SPAN("www.some-shop.example") };
    request.names[1] = (struct sign_name){ HOSTNAME_NAME, SPAN("some-shop.example") };
    request.names[2] = (struct sign_name){ HOSTNAME_NAME, SPAN("*.cdn.some-shop.example") };
    packet_size = sign_encode_request(packet, &request);
}

static void hear(void)
{
    static char reply[SIGN_ANSWER_BYTES];
    struct sign_answer answer;
    ssize_t size;

    while ((size = recv(line, reply, sizeof reply, 0)) < 0 && errno == EAGAIN)
        wait_for(line, POLLIN);
    must(size > 0 &&
             sign_decode_answer(&answer, span_of(reply, (size_t)size), NULL) == ERROR_NONE &&
             answer.outcome == SIGN_DONE,
         "an answer");
}

/* Leaves a second, with so many under way. */
static double measure(size_t at_once)
{
    double best = 0;

    for (int round = 0; round < ROUNDS; round++) {
        double begin = clock_s(CLOCK_MONOTONIC), now = begin;
        size_t asked = 0, answered = 0;

        while (now - begin < seconds || answered < asked) {
            while (now - begin < seconds && asked - answered < at_once &&
                   send(line, packet, packet_size, MSG_DONTWAIT) > 0)
                asked++;
            hear();
            answered++;
            now = clock_s(CLOCK_MONOTONIC);
        }
        if ((double)answered / (now - begin) > best)
            best = (double)answered / (now - begin);
    }
    return best;
}

int main(int argc, char **argv)
{
    double cpu_s;
    clockid_t clock;

    if (argc > 1)
        seconds = strtod(argv[1], NULL);
    must(seconds > 0, "SECONDS");
    signal(SIGPIPE, SIG_IGN);
    start();
    make_packet();
    printf("%-36s %8.0f/s\n", "leaves of the signer, one at a time", measure(1));
    must(clock_getcpuclockid(signer, &clock) == 0, "its clock");
    cpu_s = clock_s(clock);
    printf("%-36s %8.0f/s\n", "leaves of the signer, 64 at once", measure(64));
    cpu_s = clock_s(clock) - cpu_s;
    printf("%-36s %8.2f\n", "its share of a processor", cpu_s / (ROUNDS * seconds));
    stop();
    return 0;
}
