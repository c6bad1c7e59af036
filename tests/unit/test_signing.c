/* The signer's process, spoken to as the master and as workers do: what it signs and what it
 * refuses, its limits, what it may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "daemon/child.h"
#include "daemon/jail.h"
#include "daemon/signing.h"
#include "trust/certificates.h"
#include "trust/sign.h"
#include "trust/vault.h"

enum { LATE_MS = 20000 };

struct scene {
    char state[64];
    struct config *config;
    pid_t pid;
    int channel;
    int line;            // to it, as a worker
    struct buffer chain; // what it said it signs with, in PEM
    STACK_OF(X509) *certificates;
};

static struct config *config_of(const struct scene *scene, const char *more)
{
    char text[600];
    struct config_source source = { .name = SPAN("a.conf") };
    struct config_sources sources = { .items = &source, .count = 1 };
    struct config *config;
    struct error error;

    snprintf(text, sizeof text, "state_dir = \"%s\"\nlog_level = error\n%s", scene->state, more);
    source.text = span_text(text);
    if (config_parse(&config, &sources, &error) != ERROR_NONE)
        fail_msg("%s", error.text);
    return config;
}

static void wait_for(int fd)
{
    struct pollfd readable = { .fd = fd, .events = POLLIN };

    if (poll(&readable, 1, LATE_MS) != 1)
        fail_msg("nothing comes");
}

static struct message next_message(const struct scene *scene)
{
    struct message message;
    struct error error;

    wait_for(scene->channel);
    if (message_receive(scene->channel, &message, &error) != MESSAGE_GOT)
        fail_msg("no message");
    return message;
}

static void open_line(struct scene *scene, size_t place)
{
    struct message message = message_of(MESSAGE_SIGNER);
    struct error error;
    int ends[2];

    assert_int_equal(message_channel(ends, &error), ERROR_NONE);
    message.number.number = place;
    message.fd = ends[1];
    assert_int_equal(message_send(scene->channel, &message, &error), ERROR_NONE);
    close(ends[1]);
    if (scene->line >= 0)
        close(scene->line);
    scene->line = ends[0];
}

static int be_the_signer(const struct scene *scene, int channel)
{
    const struct crew_begin begin = { .config = scene->config };
    const struct crew_start start = { .begin = &begin, .channel = channel };

    return signing_run(&start);
}

/* Begins it, and waits until it serves. */
static void start(struct scene *scene, const char *more)
{
    struct message said;
    struct error error;
    struct span text;
    int ends[2];

    if (scene->state[0] == '\0') {
        snprintf(scene->state, sizeof scene->state, "/tmp/dejunk-signing-XXXXXX");
        assert_non_null(mkdtemp(scene->state));
    }
    scene->config = config_of(scene, more);
    scene->line = -1;
    assert_int_equal(message_channel(ends, &error), ERROR_NONE);
    scene->pid = child_fork();
    assert_true(scene->pid >= 0);
    if (scene->pid == 0)
        _exit(be_the_signer(scene, ends[1]));
    close(ends[1]);
    scene->channel = ends[0];
    said = next_message(scene);
    assert_int_equal(said.type, MESSAGE_AUTHORITY);
    assert_int_equal(parcel_open(&text, said.fd, said.parcel.size_bytes, 1 << 20, &error),
                     ERROR_NONE);
    scene->chain = (struct buffer){ .limit_bytes = 1 << 20 };
    assert_true(buffer_append(&scene->chain, text));
    scene->certificates = NULL;
    if (text.size > 0)
        assert_int_equal(certificates_read(&scene->certificates, text, &error), ERROR_NONE);
    parcel_close(&text);
    close(said.fd);
    said = next_message(scene);
    assert_int_equal(said.type, MESSAGE_READY);
    open_line(scene, 0);
}

static void await_end(const struct scene *scene, int want)
{
    int status;

    assert_int_equal(waitpid(scene->pid, &status, 0), scene->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), want);
}

static void stop(struct scene *scene)
{
    const struct message drain = message_of(MESSAGE_DRAIN);

    assert_int_equal(message_send(scene->channel, &drain, NULL), ERROR_NONE);
    await_end(scene, EX_OK);
    close(scene->channel);
    close(scene->line);
    config_unref(&scene->config);
    buffer_release(&scene->chain);
    sk_X509_pop_free(scene->certificates, X509_free);
}

static void clean(const struct scene *scene)
{
    static const char *const files[] = {
        "ca/" VAULT_FILE, "ca/" VAULT_ROOT_FILE, "ca", "own.pem", "own.key", ""
    };
    char path[128];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", scene->state, files[i]);
        remove(path);
    }
}

/* ---- a worker ---- */

static struct sign_request good_request(void)
{
    struct sign_request request = {
        .number = 7, .lifetime_s = SIGN_LIFETIME_S, .usages = SIGN_FOR_SERVERS, .name_count = 1
    };
    EVP_PKEY *key = EVP_EC_gen("P-256");
    unsigned char *point = NULL;

    assert_int_equal(EVP_PKEY_get1_encoded_public_key(key, &point), SIGN_KEY_BYTES);
    memcpy(request.key, point, SIGN_KEY_BYTES);
    OPENSSL_free(point);
    EVP_PKEY_free(key);
    request.names[0] = (struct sign_name){ HOSTNAME_NAME, SPAN("a.example") };
    return request;
}

static void say(const struct scene *scene, const struct sign_request *request)
{
    char packet[SIGN_REQUEST_BYTES];
    size_t size = sign_encode_request(packet, request);

    assert_int_equal(send(scene->line, packet, size, MSG_NOSIGNAL), size);
}

/* The answer's certificate is the caller's; NULL where there is none. */
static enum sign_outcome hear(const struct scene *scene, uint32_t number, X509 **certificate)
{
    static char packet[SIGN_ANSWER_BYTES];
    struct sign_answer answer;
    struct error error;
    const unsigned char *der;
    ssize_t size;

    wait_for(scene->line);
    size = recv(scene->line, packet, sizeof packet, 0);
    assert_true(size > 0);
    assert_int_equal(sign_decode_answer(&answer, span_of(packet, (size_t)size), &error),
                     ERROR_NONE);
    assert_int_equal(answer.number, number);
    der = (const unsigned char *)answer.certificate.at;
    *certificate =
        answer.outcome == SIGN_DONE ? d2i_X509(NULL, &der, (long)answer.certificate.size) : NULL;
    return answer.outcome;
}

static enum sign_outcome ask(const struct scene *scene, const struct sign_request *request)
{
    X509 *certificate;
    enum sign_outcome outcome;

    say(scene, request);
    outcome = hear(scene, request->number, &certificate);
    X509_free(certificate);
    return outcome;
}

/* ---- the tests ---- */

static void makes_its_authority_once(void **state)
{
    struct scene scene = { .state = "" };
    char path[128];
    struct stat status;
    struct buffer first;
    uint64_t mark;

    (void)state;
    start(&scene, "");
    assert_true(sk_X509_num(scene.certificates) >= 1);
    snprintf(path, sizeof path, "%s/ca/" VAULT_FILE, scene.state);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    first = scene.chain;
    scene.chain = (struct buffer){ .limit_bytes = 0 };
    mark = signing_mark(scene.config);
    stop(&scene);
    start(&scene, "");
    assert_true(span_equal(buffer_span(&first), buffer_span(&scene.chain)));
    assert_true(mark != 0 && mark == signing_mark(scene.config));
    buffer_release(&first);
    stop(&scene);

    // another file, another mark
    assert_int_equal(truncate(path, 10), 0);
    scene.config = config_of(&scene, "");
    assert_true(signing_mark(scene.config) != mark);
    config_unref(&scene.config);
    clean(&scene);
}

static void signs_leaves_for_servers_and_nothing_else(void **state)
{
    struct scene scene = { .state = "" };
    struct sign_request request = good_request();
    X509 *certificate;

    (void)state;
    start(&scene, "");
    say(&scene, &request);
    assert_int_equal(hear(&scene, 7, &certificate), SIGN_DONE);
    assert_int_equal(X509_check_ca(certificate), 0);
    assert_int_equal(X509_check_host(certificate, "a.example", 0, 0, NULL), 1);
    assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_SERVER);
    assert_int_equal(
        X509_verify(certificate, X509_get0_pubkey(sk_X509_value(scene.certificates, 0))), 1);
    X509_free(certificate);

    request.is_authority = true;
    assert_int_equal(ask(&scene, &request), SIGN_IS_AUTHORITY);
    request = good_request();
    request.lifetime_s = 10 * 366 * 24 * 3600u;
    assert_int_equal(ask(&scene, &request), SIGN_TOO_LONG);
    request.lifetime_s = SIGN_LIFETIME_S + 1;
    assert_int_equal(ask(&scene, &request), SIGN_TOO_LONG);
    request = good_request();
    request.usages = SIGN_FOR_CLIENTS;
    assert_int_equal(ask(&scene, &request), SIGN_USAGE);
    request.usages = SIGN_FOR_CLIENTS | SIGN_FOR_SERVERS;
    assert_int_equal(ask(&scene, &request), SIGN_USAGE);
    request = good_request();
    request.key[40] ^= 1;
    assert_int_equal(ask(&scene, &request), SIGN_KEY);
    request = good_request();
    request.names[0].bytes = SPAN("*");
    assert_int_equal(ask(&scene, &request), SIGN_NAME);
    request = good_request();
    assert_int_equal(ask(&scene, &request), SIGN_DONE);
    stop(&scene);
    clean(&scene);
}

/* A worker that says what is no request is heard no more; others are. */
static void what_is_no_request_ends_the_line(void **state)
{
    struct scene scene = { .state = "" };
    struct sign_request request = good_request();
    char packet[SIGN_REQUEST_BYTES + 1] = "djs1";

    (void)state;
    start(&scene, "");
    for (int i = 0; i < 3; i++) {
        static const size_t sizes[] = { 1, 100, sizeof packet };

        assert_int_equal(send(scene.line, packet, sizes[i], MSG_NOSIGNAL), sizes[i]);
        wait_for(scene.line);
        assert_int_equal(recv(scene.line, packet + 4, 1, 0), 0);
        open_line(&scene, 1);
        assert_int_equal(ask(&scene, &request), SIGN_DONE);
    }
    stop(&scene);
    clean(&scene);
}

static void each_place_has_its_limit(void **state)
{
    struct scene scene = { .state = "" };
    struct sign_request request = good_request();

    (void)state;
    start(&scene, "leaf_rate = 1\nleaf_burst = 3\n");
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(&scene, &request), SIGN_DONE);
    assert_int_equal(ask(&scene, &request), SIGN_RATE);
    open_line(&scene, 0); // who begins anew gains nothing
    assert_int_equal(ask(&scene, &request), SIGN_RATE);
    open_line(&scene, 1);
    assert_int_equal(ask(&scene, &request), SIGN_DONE);
    stop(&scene);
    clean(&scene);
}

/* Many at once, whose answers are taken late: each has its own. */
static void answers_wait_for_who_asks(void **state)
{
    enum { MANY = 900 };
    struct scene scene = { .state = "" };
    struct sign_request request = good_request();
    uint32_t asked = 0;

    (void)state;
    start(&scene, "leaf_rate = 0\n");
    for (uint32_t answered = 0; answered < MANY; answered++) {
        X509 *certificate;
        struct pollfd writable = { .fd = scene.line, .events = POLLOUT };

        while (asked < MANY && poll(&writable, 1, 0) == 1) {
            char packet[SIGN_REQUEST_BYTES];
            size_t size;

            request.number = asked;
            size = sign_encode_request(packet, &request);
            if (send(scene.line, packet, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                break;
            asked++;
        }
        assert_int_equal(hear(&scene, answered, &certificate), SIGN_DONE);
        X509_free(certificate);
    }
    stop(&scene);
    clean(&scene);
}

static void without_interception_there_is_no_authority(void **state)
{
    struct scene scene = { .state = "" };
    struct sign_request request = good_request();
    char path[128];

    (void)state;
    start(&scene, "intercept = none\n");
    assert_int_equal(scene.chain.size, 0);
    assert_int_equal(signing_mark(scene.config), 0);
    snprintf(path, sizeof path, "%s/ca", scene.state);
    assert_int_equal(access(path, F_OK), -1);
    say(&scene, &request);
    wait_for(scene.line);
    assert_int_equal(recv(scene.line, path, 1, 0), 0);
    stop(&scene);
    clean(&scene);
}

static void write_pem(const char *path, struct span text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text.at, 1, text.size, file), text.size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* A root and its key, as a company may have one. */
static void make_own(const struct scene *scene, mode_t key_mode)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *root = X509_new();
    X509_NAME *name = X509_get_subject_name(root);
    X509V3_CTX context;
    BIO *pem = BIO_new(BIO_s_mem());
    char path[128], *text;
    long size;

    X509_set_version(root, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(root), 1);
    X509_gmtime_adj(X509_getm_notBefore(root), -3600);
    X509_gmtime_adj(X509_getm_notAfter(root), 100 * 24 * 3600L);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"Own", -1, -1, 0);
    X509_set_issuer_name(root, name);
    X509_set_pubkey(root, key);
    X509V3_set_ctx(&context, root, root, NULL, NULL, 0);
    for (int i = 0; i < 3; i++) {
        static const int ids[] = { NID_basic_constraints, NID_key_usage,
                                   NID_subject_key_identifier };
        static const char *const values[] = { "critical,CA:TRUE", "critical,keyCertSign,cRLSign",
                                              "hash" };
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, ids[i], values[i]);

        assert_non_null(extension);
        X509_add_ext(root, extension, -1);
        X509_EXTENSION_free(extension);
    }
    assert_true(X509_sign(root, key, EVP_sha256()) > 0);

    PEM_write_bio_X509(pem, root);
    size = BIO_get_mem_data(pem, &text);
    snprintf(path, sizeof path, "%s/own.pem", scene->state);
    write_pem(path, span_of(text, (size_t)size), 0644);
    (void)BIO_reset(pem);
    PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL);
    size = BIO_get_mem_data(pem, &text);
    snprintf(path, sizeof path, "%s/own.key", scene->state);
    write_pem(path, span_of(text, (size_t)size), key_mode);
    BIO_free(pem);
    X509_free(root);
    EVP_PKEY_free(key);
}

static void a_companys_own_stands_in_its_place(void **state)
{
    struct scene scene = { .state = "/tmp/dejunk-signing-XXXXXX" };
    struct sign_request request = good_request();
    char more[300], path[128];
    X509 *certificate;

    (void)state;
    assert_non_null(mkdtemp(scene.state));
    make_own(&scene, 0600);
    snprintf(more, sizeof more, "ca { certificate = \"%s/own.pem\" key = \"%s/own.key\" }\n",
             scene.state, scene.state);
    start(&scene, more);
    say(&scene, &request);
    assert_int_equal(hear(&scene, 7, &certificate), SIGN_DONE);
    assert_int_equal(
        X509_verify(certificate, X509_get0_pubkey(sk_X509_value(scene.certificates, 0))), 1);
    X509_free(certificate);
    stop(&scene);

    // where others may read the key, nothing is signed
    snprintf(path, sizeof path, "%s/own.key", scene.state);
    assert_int_equal(chmod(path, 0644), 0);
    start(&scene, more);
    assert_int_equal(scene.chain.size, 0);
    stop(&scene);
    // nor where there is none
    assert_int_equal(unlink(path), 0);
    start(&scene, more);
    assert_int_equal(scene.chain.size, 0);
    stop(&scene);
    clean(&scene);
}

static void takes_limits_from_a_new_config(void **state)
{
    struct scene scene = { .state = "" };
    struct sign_request request = good_request();
    struct message configure = message_of(MESSAGE_CONFIGURE), reply;
    char text[300];
    struct config_source source = { .name = SPAN("a.conf") };
    struct config_sources sources = { .items = &source, .count = 1 };
    struct error error;

    (void)state;
    start(&scene, "leaf_rate = 1\nleaf_burst = 1\n");
    assert_int_equal(ask(&scene, &request), SIGN_DONE);
    assert_int_equal(ask(&scene, &request), SIGN_RATE);
    snprintf(text, sizeof text, "state_dir = \"%s\"\nlog_level = error\nleaf_rate = 0\n",
             scene.state);
    source.text = span_text(text);
    assert_int_equal(
        parcel_pack_sources(&configure.fd, &configure.parcel.size_bytes, &sources, &error),
        ERROR_NONE);
    configure.parcel.generation = 2;
    assert_int_equal(message_send(scene.channel, &configure, &error), ERROR_NONE);
    close(configure.fd);
    reply = next_message(&scene);
    assert_int_equal(reply.type, MESSAGE_CONFIGURED);
    assert_int_equal(reply.configured.generation, 2);
    assert_int_equal(reply.configured.kind, ERROR_NONE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(&scene, &request), SIGN_DONE);
    stop(&scene);
    clean(&scene);
}

static void answers_pings_and_ends_with_the_master(void **state)
{
    struct scene scene = { .state = "" };
    struct message ping = message_of(MESSAGE_PING), pong;

    (void)state;
    start(&scene, "");
    ping.number.number = 42;
    assert_int_equal(message_send(scene.channel, &ping, NULL), ERROR_NONE);
    pong = next_message(&scene);
    assert_int_equal(pong.type, MESSAGE_PONG);
    assert_int_equal(pong.number.number, 42);
    close(scene.channel);
    await_end(&scene, EX_IOERR);
    close(scene.line);
    config_unref(&scene.config);
    buffer_release(&scene.chain);
    sk_X509_pop_free(scene.certificates, X509_free);
    clean(&scene);
}

static void is_in_its_jail(void **state)
{
    struct scene scene = { .state = "" };
    char path[64], line[256];
    bool is_filtered = false;
    FILE *file;

    (void)state;
    if (!jail_is_wanted())
        skip();
    start(&scene, "");
    snprintf(path, sizeof path, "/proc/%d/status", (int)scene.pid);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        is_filtered |= strcmp(line, "Seccomp:\t2\n") == 0;
    fclose(file);
    assert_true(is_filtered);
    stop(&scene);
    clean(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_its_authority_once),
        cmocka_unit_test(signs_leaves_for_servers_and_nothing_else),
        cmocka_unit_test(what_is_no_request_ends_the_line),
        cmocka_unit_test(each_place_has_its_limit),
        cmocka_unit_test(answers_wait_for_who_asks),
        cmocka_unit_test(without_interception_there_is_no_authority),
        cmocka_unit_test(a_companys_own_stands_in_its_place),
        cmocka_unit_test(takes_limits_from_a_new_config),
        cmocka_unit_test(answers_pings_and_ends_with_the_master),
        cmocka_unit_test(is_in_its_jail),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
