/*
 * What TLS costs: leaves a second, handshakes on both sides, memory of an idle connection, bodies.
 *
 *     bench_leaf [SECONDS]     for each figure (1); best of three
 */
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/certificates.h"
#include "io/stream_tls.h"
#include "trust/browser.h"
#include "trust/leaf.h"
#include "trust/origin.h"
#include "trust/signer.h"

enum { IDLE = 1000, ROUNDS = 3 };

static double seconds = 1;
static time_t now;
static struct authority *authority;
static struct buffer chain_pem = { .limit_bytes = 1 << 20 };
static struct leaf_cache *cache;
static struct browser_tls *browsers;
static struct made root, ca, site;

static double cpu_s(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench_leaf: %s failed\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

/* ---- leaves ---- */

static char packet[SIGN_REQUEST_BYTES];
static size_t packet_size;

static bool keep_packet(void *owner, struct span bytes)
{
    (void)owner;
    memcpy(packet, bytes.at, bytes.size);
    packet_size = bytes.size;
    return true;
}

static struct leaf *minted;

static void on_leaf(void *owner, struct leaf *leaf, const struct error *error)
{
    (void)owner, (void)error;
    minted = leaf ? leaf_ref(leaf) : NULL;
}

/* The signer's and the worker's part, one after the other, as on one core. */
static struct leaf *mint(struct span host, const X509 *origin, double *signing_s)
{
    static struct leaf_names names;
    struct leaf_wait wait = { .on_leaf = on_leaf };
    struct signer signer = { .authority = authority };
    struct sign_limit limit = { 0 };
    char reply[SIGN_ANSWER_BYTES];
    enum sign_outcome why;
    struct leaf *leaf;
    size_t size;
    double start;

    must(!leaf_names_collect(&names, leaf_cache_constraints(cache), host, origin, NULL), "names");
    must(!leaf_get(cache, &wait, &names, now, &leaf, NULL), "asking");
    if (leaf)
        return leaf_ref(leaf);
    start = cpu_s();
    must(!signer_answer(&signer, &limit, span_of(packet, packet_size), now, 0, reply, &size, &why,
                        NULL),
         "signing");
    *signing_s += cpu_s() - start;
    minted = NULL;
    must(!leaf_cache_answer(cache, span_of(reply, size), NULL) && minted, "the answer");
    return minted;
}

static void bench_leaves(const char *what, const X509 *origin)
{
    double best = 1e9, best_signing = 0;

    for (int round = 0; round < ROUNDS; round++) {
        static unsigned serial;
        double start = cpu_s(), signing_s = 0, each;
        unsigned count = 0;

        while (cpu_s() - start < seconds) {
            char host[40];
            struct leaf *leaf;

            snprintf(host, sizeof host, "h%u.bench.test", serial++);
            leaf = mint(span_text(host), origin, &signing_s);
            leaf_unref(&leaf);
            count++;
        }
        each = (cpu_s() - start) / count;
        if (each < best) {
            best = each;
            best_signing = signing_s / count;
        }
    }
    printf("leaves, %-22s %8.0f /s   %6.1f us each, %.1f of them in the signer\n", what, 1 / best,
           best * 1e6, best_signing * 1e6);
}

/* ---- handshakes ---- */

/* Adds each side's CPU time; true when both have finished. */
static bool timed_handshake(SSL *client, SSL *server, double spent[2])
{
    BIO *a, *b;
    bool done[2] = { false, false };
    char byte;

    BIO_new_bio_pair(&a, 64 * 1024, &b, 64 * 1024);
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    for (int i = 0; i < 100 && !(done[0] && done[1]); i++) {
        double start = cpu_s();

        done[i % 2] = SSL_do_handshake(i % 2 ? server : client) == 1;
        spent[i % 2] += cpu_s() - start;
    }
    ERR_clear_error();
    if (done[0] && done[1])
        SSL_read(client, &byte, 1);
    return done[0] && done[1];
}

static void show_handshakes(const char *what, const double spent[2], unsigned count, int side)
{
    printf("handshake, %-28s %6.0f us of ours\n", what, spent[side] / count * 1e6);
}

static SSL *browser_ssl(SSL_CTX *context, SSL_SESSION *session)
{
    SSL *ssl = SSL_new(context);

    SSL_set_connect_state(ssl);
    SSL_set_tlsext_host_name(ssl, "bench.test");
    if (session)
        SSL_set_session(ssl, session);
    return ssl;
}

static SSL *our_ssl(void)
{
    double ignored = 0;
    struct leaf *leaf = mint(SPAN("bench.test"), NULL, &ignored);
    SSL *ssl =
        browser_begin(browsers, leaf, leaf_cache_key(cache), SPAN("http/1.1"), SPAN("bench.test"));

    leaf_unref(&leaf);
    return ssl;
}

static void bench_browser_side(int version, bool resume)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_SESSION *session = NULL;
    double spent[2] = { 0, 0 }, start = cpu_s();
    unsigned count = 0;
    char what[60];

    SSL_CTX_set_max_proto_version(context, version);
    while (cpu_s() - start < seconds) {
        double begin = cpu_s(), none[2] = { 0, 0 };
        SSL *ours = our_ssl();
        double made = cpu_s() - begin;
        SSL *theirs = browser_ssl(context, session);
        bool counts = !resume || session;

        must(timed_handshake(theirs, ours, counts ? spent : none), "a handshake");
        must(SSL_session_reused(ours) == (session != NULL), "resuming");
        if (counts) {
            spent[1] += made;
            count++;
        }
        SSL_SESSION_free(session);
        session = resume ? SSL_get1_session(theirs) : NULL;
        SSL_set_shutdown(theirs, SSL_SENT_SHUTDOWN);
        SSL_free(theirs);
        begin = cpu_s();
        SSL_free(ours);
        spent[1] += cpu_s() - begin;
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
    snprintf(what, sizeof what, "browser, TLS 1.%d%s", version == TLS1_3_VERSION ? 3 : 2,
             resume ? ", resumed" : "");
    show_handshakes(what, spent, count, 1);
}

static void bench_origin_side(int version, bool resume)
{
    SSL_CTX *server = SSL_CTX_new(TLS_server_method());
    struct origin_question question = { .host = SPAN("bench.test"),
                                        .port = 443,
                                        .protocols = SPAN("\10http/1.1") };
    struct origin_tls *tls = NULL;
    struct buffer pem = pem_of(root.certificate);
    double spent[2] = { 0, 0 }, start;
    unsigned count = 0;
    char what[60];

    must(!verify_roots_new(&question.roots, NULL, buffer_span(&pem), NULL), "roots");
    must(!origin_tls_new(&tls, NULL), "origins");
    SSL_CTX_set_max_proto_version(server, version);
    SSL_CTX_set_session_id_context(server, (const unsigned char *)"b", 1);
    SSL_CTX_use_certificate(server, site.certificate);
    SSL_CTX_use_PrivateKey(server, site.key);
    SSL_CTX_add1_chain_cert(server, ca.certificate);
    start = cpu_s();
    while (cpu_s() - start < seconds) {
        struct origin_facts facts;
        struct error error;
        SSL *ours, *theirs = SSL_new(server);
        double begin = cpu_s();
        char byte;

        if (!resume)
            question.port++;
        must(!origin_begin(&ours, tls, &question, &error), "asking");
        spent[0] += cpu_s() - begin;
        SSL_set_accept_state(theirs);
        {
            BIO *a, *b;
            bool done[2] = { false, false };

            BIO_new_bio_pair(&a, 64 * 1024, &b, 64 * 1024);
            SSL_set_bio(ours, a, a);
            SSL_set_bio(theirs, b, b);
            for (int i = 0; i < 100 && !(done[0] && done[1]); i++) {
                begin = cpu_s();
                done[i % 2] = SSL_do_handshake(i % 2 ? theirs : ours) == 1;
                spent[i % 2] += cpu_s() - begin;
            }
        }
        ERR_clear_error();
        begin = cpu_s();
        must(origin_judge(ours, &facts, &error) == ORIGIN_GOOD, "judging");
        SSL_read(ours, &byte, 1);
        SSL_free(ours);
        spent[0] += cpu_s() - begin;
        must(!resume || count == 0 || facts.is_resumed, "resuming");
        SSL_set_shutdown(theirs, SSL_SENT_SHUTDOWN);
        SSL_free(theirs);
        count++;
    }
    origin_tls_free(&tls);
    verify_roots_unref(&question.roots);
    SSL_CTX_free(server);
    buffer_release(&pem);
    snprintf(what, sizeof what, "origin, TLS 1.%d%s", version == TLS1_3_VERSION ? 3 : 2,
             resume ? ", resumed" : "");
    show_handshakes(what, spent, count, 0);
}

/* ---- idle connections ---- */

struct side {
    struct stream stream;
};

static struct loop *loop;
static struct side sides[IDLE];
static void ignore(void *owner)
{
    (void)owner;
}

static const struct stream_events events = { ignore, ignore };

static void on_shaken(void *owner, const struct stream_tls_failure *failure)
{
    struct side *side = owner;

    must(!failure, failure ? failure->error.text : "");
    stream_want(&side->stream, STREAM_READ);
    loop_stop(loop);
}

static size_t rss_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    must(file && fscanf(file, "%*u %lu", &pages) == 1, "reading statm");
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The browsers live in a process of their own. */
static pid_t start_browsers(int fds[IDLE][2], int version)
{
    pid_t pid = fork();
    SSL_CTX *context;

    if (pid != 0)
        return pid;
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, version);
    for (int i = 0; i < IDLE; i++) {
        SSL *ssl = browser_ssl(context, NULL);

        close(fds[i][0]);
        SSL_set_fd(ssl, fds[i][1]);
        if (SSL_connect(ssl) != 1)
            _exit(1);
        SSL_set_quiet_shutdown(ssl, 1);
        SSL_free(ssl);
    }
    pause();
    _exit(0);
}

/* As the proxy does it: the hello is collected before anything is made. */
static void accept_browser(struct side *side, int fd)
{
    struct stream below = { 0 };
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    char hello[4096];
    ssize_t size;
    SSL *ssl;

    must(poll(&ready, 1, 10000) == 1, "no hello");
    size = recv(fd, hello, sizeof hello, 0);
    must(size > 0, "a hello");
    ssl = our_ssl();
    stream_init_tcp(&below, loop, fd, &events, NULL);
    stream_init_tls(&side->stream, &below, &ssl, span_of(hello, (size_t)size), &events, side);
    stream_tls_shake_hands(&side->stream, on_shaken);
    loop_run(loop);
}

static void bench_idle(int version)
{
    static int fds[IDLE][2];
    struct rlimit limit = { 4 * IDLE, 4 * IDLE };
    size_t rss, heap;
    pid_t pid;

    setrlimit(RLIMIT_NOFILE, &limit);
    must(!loop_new(&loop, NULL), "a loop");
    for (int i = 0; i < IDLE; i++)
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]) == 0, "a socket pair (descriptors?)");
    pid = start_browsers(fds, version);
    SSL *warm = our_ssl();
    SSL_free(warm);
    malloc_trim(0);
    rss = rss_bytes();
    heap = mallinfo2().uordblks;
    for (int i = 0; i < IDLE; i++) {
        close(fds[i][1]);
        accept_browser(&sides[i], fds[i][0]);
    }
    heap = mallinfo2().uordblks - heap;
    rss = rss_bytes() - rss;
    printf("idle browser, TLS 1.%d %17.1f kB of memory, %.1f kB of them asked for\n",
           version == TLS1_3_VERSION ? 3 : 2, (double)rss / IDLE / 1024,
           (double)heap / IDLE / 1024);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (int i = 0; i < IDLE; i++)
        stream_close(&sides[i].stream);
    loop_free(&loop);
}

/* ---- bodies ---- */

enum { BODY_BYTES = 512 * 1024 * 1024, PIECE_BYTES = 64 * 1024 };
static size_t left_bytes;

static void on_writable(void *owner)
{
    static char bytes[PIECE_BYTES];
    struct side *side = owner;
    struct iovec part = { bytes, sizeof bytes };
    enum stream_outcome outcome = STREAM_OK;

    while (left_bytes && outcome == STREAM_OK) {
        size_t put = 0;

        part.iov_len = left_bytes < sizeof bytes ? left_bytes : sizeof bytes;
        outcome = stream_write(&side->stream, &part, 1, &put);
        left_bytes -= outcome == STREAM_OK ? put : 0;
    }
    must(outcome != STREAM_LOST, "writing");
    if (!left_bytes)
        loop_stop(loop);
}

static const struct stream_events body_events = { ignore, on_writable };

static void bench_body(void)
{
    int fds[2];
    struct pollfd ready;
    struct stream below = { 0 };
    char hello[4096];
    ssize_t size;
    double start;
    pid_t pid;
    SSL *ssl;

    must(!loop_new(&loop, NULL) && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "a socket pair");
    pid = fork();
    if (pid == 0) {
        SSL *browser = browser_ssl(SSL_CTX_new(TLS_client_method()), NULL);
        static char bytes[PIECE_BYTES];

        close(fds[0]);
        SSL_set_fd(browser, fds[1]);
        while (SSL_connect(browser) == 1 && SSL_read(browser, bytes, sizeof bytes) > 0)
            ;
        _exit(0);
    }
    close(fds[1]);
    ready = (struct pollfd){ .fd = fds[0], .events = POLLIN };
    must(poll(&ready, 1, 10000) == 1, "no hello");
    size = recv(fds[0], hello, sizeof hello, 0);
    must(size > 0, "hello");
    ssl = our_ssl();
    stream_init_tcp(&below, loop, fds[0], &body_events, NULL);
    stream_init_tls(&sides[0].stream, &below, &ssl, span_of(hello, (size_t)size), &body_events,
                    &sides[0]);
    stream_tls_shake_hands(&sides[0].stream, on_shaken);
    loop_run(loop);
    left_bytes = BODY_BYTES;
    stream_want(&sides[0].stream, STREAM_WRITE);
    start = cpu_s();
    loop_run(loop);
    printf("body, written %24.2f GB for each second of ours\n",
           (double)BODY_BYTES / 1e9 / (cpu_s() - start));
    stream_reset(&sides[0].stream);
    loop_free(&loop);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    static const struct leaf_signer by_packet = { .send = keep_packet };
    struct authority_plan plan = { .label = SPAN("bench") };
    struct browser_ticket_key key;
    struct made many;

    if (argc > 1)
        seconds = strtod(argv[1], NULL);
    plan.now = now = time(NULL);
    RAND_bytes((unsigned char *)&key, sizeof key);
    root = make_certificate(&(struct recipe)ROOT_RECIPE("bench root"));
    ca = make_certificate(&(struct recipe){ .cn = "bench CA",
                                            .issuer = &root,
                                            .basic = "critical,CA:TRUE,pathlen:0",
                                            .usage = "critical,keyCertSign" });
    site = make_certificate(&(struct recipe){
        .cn = "x", .issuer = &ca, LEAF_USAGE, .names = "DNS:bench.test,DNS:www.bench.test" });
    many = make_certificate(&(struct recipe){
        .cn = "x",
        .issuer = &ca,
        LEAF_USAGE,
        .names = "DNS:a.x.test,DNS:b.x.test,DNS:c.x.test,DNS:d.x.test,DNS:e.x.test,DNS:f.x.test,"
                 "DNS:g.x.test,DNS:h.x.test,DNS:i.x.test,DNS:j.x.test,DNS:k.x.test,DNS:l.x.test,"
                 "DNS:m.x.test,DNS:n.x.test,DNS:o.x.test,DNS:p.x.test,DNS:q.x.test,DNS:r.x.test" });
    must(!authority_make(&authority, &plan, NULL), "an authority");
    authority_chain_pem(authority, &chain_pem);
    must(!leaf_cache_new(&cache, &by_packet, buffer_span(&chain_pem), NULL), "a cache");
    must(!browser_tls_new(&browsers, NULL), "browsers");
    browser_tls_set_chain(browsers, leaf_cache_chain(cache));
    browser_tls_set_ticket_keys(browsers, &key, 1);

    bench_leaves("one name", NULL);
    bench_leaves("two of the origin's", site.certificate);
    bench_leaves("18 of the origin's", many.certificate);
    for (int version = TLS1_3_VERSION; version >= TLS1_2_VERSION; version--) {
        bench_browser_side(version, false);
        bench_browser_side(version, true);
        bench_origin_side(version, false);
        bench_origin_side(version, true);
    }
    bench_idle(TLS1_3_VERSION);
    bench_idle(TLS1_2_VERSION);
    bench_body();

    browser_tls_free(&browsers);
    leaf_cache_free(&cache);
    authority_free(&authority);
    buffer_release(&chain_pem);
    free_made(&many);
    free_made(&site);
    free_made(&ca);
    free_made(&root);
    return 0;
}
