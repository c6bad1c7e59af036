#include "proxy/auth.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { DIGEST_BYTES = 32, SECRET_BYTES = 32, PASSWORD_BYTES = 512, HASH_BYTES = 384 };

struct auth_job { // belongs to the thread while it is in its line, then to the loop
    struct auth_job *next;
    struct auth_question *question; // loop only; NULL: nobody waits any more
    char password[PASSWORD_BYTES];
    char hash[HASH_BYTES];
    unsigned char digest[DIGEST_BYTES];
    bool is_good;
};

struct remembered {
    unsigned char digest[DIGEST_BYTES];
    uint64_t until_ms;
};

struct checker {
    struct proxy *proxy;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct auth_job *first, **last; // under lock: to be done
    struct auth_job *done;          // under lock
    bool stops;                     // under lock
    size_t waiting;                 // loop only, as is the rest
    ev_async answered;
    unsigned char secret[SECRET_BYTES];
    struct remembered remembered[AUTH_REMEMBERED];
    size_t next_slot;
};

/* ---- the thread ---- */

static void check(struct auth_job *job, struct crypt_data *data)
{
    const char *hash = crypt_r(job->password, job->hash, data);
    size_t size = strlen(job->hash);

    job->is_good =
        hash && hash[0] != '*' && strlen(hash) == size && CRYPTO_memcmp(hash, job->hash, size) == 0;
    OPENSSL_cleanse(job->password, sizeof job->password);
}

static void *run(void *owner)
{
    struct checker *checker = owner;
    struct crypt_data *data = calloc(1, sizeof *data);

    if (!data)
        abort(); // out of memory ends the worker; the master starts another
    pthread_mutex_lock(&checker->lock);
    while (!checker->stops) {
        struct auth_job *job = checker->first;
        if (!job) {
            pthread_cond_wait(&checker->wake, &checker->lock);
            continue;
        }
        checker->first = job->next;
        if (!checker->first)
            checker->last = &checker->first;
        pthread_mutex_unlock(&checker->lock);
        check(job, data);
        pthread_mutex_lock(&checker->lock);
        job->next = checker->done;
        checker->done = job;
        ev_async_send(checker->proxy->loop->ev, &checker->answered);
    }
    pthread_mutex_unlock(&checker->lock);
    free(data);
    return NULL;
}

/* ---- the loop's side ---- */

static void remember(struct checker *checker, const unsigned char *digest)
{
    struct remembered *slot = &checker->remembered[checker->next_slot++ % AUTH_REMEMBERED];

    memcpy(slot->digest, digest, DIGEST_BYTES);
    slot->until_ms = loop_now_ms(checker->proxy->loop) + AUTH_REMEMBERED_MS;
}

static bool is_remembered(const struct checker *checker, const unsigned char *digest)
{
    uint64_t now = loop_now_ms(checker->proxy->loop);

    for (size_t i = 0; i < AUTH_REMEMBERED; i++)
        if (checker->remembered[i].until_ms > now &&
            CRYPTO_memcmp(checker->remembered[i].digest, digest, DIGEST_BYTES) == 0)
            return true;
    return false;
}

static void say_wrong(void *owner)
{
    struct auth_question *question = owner;

    question->has_delay = false;
    question->on_answer(question->owner, false);
}

static void on_answered(struct ev_loop *ev, ev_async *watcher, int events)
{
    struct checker *checker = watcher->data;
    struct auth_job *job;

    (void)ev;
    (void)events;
    pthread_mutex_lock(&checker->lock);
    job = checker->done;
    checker->done = NULL;
    pthread_mutex_unlock(&checker->lock);
    while (job) {
        struct auth_job *next = job->next;
        struct auth_question *question = job->question;

        checker->waiting--;
        if (job->is_good)
            remember(checker, job->digest);
        else
            count(checker->proxy, METRIC_AUTH_FAILURES);
        if (question) {
            question->job = NULL;
            if (job->is_good) {
                question->on_answer(question->owner, true);
            } else {
                question->has_delay = true;
                loop_timer_init(&question->delay, checker->proxy->loop, say_wrong, question);
                loop_timer_set(&question->delay, AUTH_WRONG_DELAY_MS);
            }
        }
        free(job);
        job = next;
    }
}

void auth_start(struct proxy *proxy)
{
    struct checker *checker = calloc(1, sizeof *checker);
    sigset_t all, before;

    if (!checker)
        abort(); // out of memory ends the worker; the master starts another
    checker->proxy = proxy;
    checker->last = &checker->first;
    random_bytes(checker->secret, sizeof checker->secret);
    pthread_mutex_init(&checker->lock, NULL);
    pthread_cond_init(&checker->wake, NULL);
    ev_async_init(&checker->answered, on_answered);
    checker->answered.data = checker;
    ev_async_start(proxy->loop->ev, &checker->answered);
    ev_unref(proxy->loop->ev);
    sigfillset(&all); // signals are the loop's
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&checker->thread, NULL, run, checker))
        abort(); // no thread, no passwords
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    proxy->checker = checker;
}

void auth_stop(struct proxy *proxy)
{
    struct checker *checker = proxy->checker;

    if (!checker)
        return;
    pthread_mutex_lock(&checker->lock);
    checker->stops = true;
    pthread_cond_signal(&checker->wake);
    pthread_mutex_unlock(&checker->lock);
    pthread_join(checker->thread, NULL);
    ev_ref(proxy->loop->ev);
    ev_async_stop(proxy->loop->ev, &checker->answered);
    while (checker->done) {
        struct auth_job *next = checker->done->next;
        free(checker->done);
        checker->done = next;
    }
    while (checker->first) {
        struct auth_job *next = checker->first->next;
        OPENSSL_cleanse(checker->first->password, PASSWORD_BYTES);
        free(checker->first);
        checker->first = next;
    }
    OPENSSL_cleanse(checker->secret, sizeof checker->secret);
    pthread_mutex_destroy(&checker->lock);
    pthread_cond_destroy(&checker->wake);
    free(checker);
    proxy->checker = NULL;
}

/* "Basic dXNlcjpwYXNz" into "user:pass" with a NUL; the size, or 0. */
static size_t decode(struct span value, char *to, size_t room)
{
    struct span text;
    int size;
    size_t padding = 0;

    if (!span_starts_nocase(value, SPAN("Basic ")))
        return 0;
    text = span_trim(span_from(value, 6));
    if (text.size == 0 || text.size > AUTH_CREDENTIAL_BYTES || text.size % 4 ||
        text.size / 4 * 3 + 1 > room)
        return 0;
    if (text.at[text.size - 1] == '=')
        padding = text.at[text.size - 2] == '=' ? 2 : 1;
    size = EVP_DecodeBlock((unsigned char *)to, (const unsigned char *)text.at, (int)text.size);
    if (size < 0 || (size_t)size < padding)
        return 0;
    to[(size_t)size - padding] = '\0';
    return memchr(to, '\0', (size_t)size - padding) ? 0 : (size_t)size - padding;
}

static const struct config_user *find_user(const struct config *config, struct span name)
{
    for (size_t i = 0; i < config->user_count; i++)
        if (span_equal(config->users[i].name, name))
            return &config->users[i];
    return NULL;
}

/* The pair is remembered together with the hash that it was good for, so that a changed password
 * is in force at once. */
static void digest_of(const struct checker *checker, struct span pair, struct span hash,
                      unsigned char *digest)
{
    unsigned char inner[2 * DIGEST_BYTES];
    unsigned size;

    HMAC(EVP_sha256(), checker->secret, SECRET_BYTES, (const unsigned char *)pair.at, pair.size,
         inner, &size);
    HMAC(EVP_sha256(), checker->secret, SECRET_BYTES, (const unsigned char *)hash.at, hash.size,
         inner + DIGEST_BYTES, &size);
    HMAC(EVP_sha256(), checker->secret, SECRET_BYTES, inner, sizeof inner, digest, &size);
}

static void hand_to_thread(struct checker *checker, struct auth_job *job)
{
    checker->waiting++;
    pthread_mutex_lock(&checker->lock);
    *checker->last = job;
    checker->last = &job->next;
    pthread_cond_signal(&checker->wake);
    pthread_mutex_unlock(&checker->lock);
}

enum auth_answer auth_ask(struct proxy *proxy, const struct settings *settings,
                          struct auth_question *question, struct span value, struct span *user)
{
    // An unknown user costs as much time as a known one: checked against this hash of nothing.
    static const struct span nobody = { "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$", 31 };
    struct checker *checker = proxy->checker;
    char pair[AUTH_CREDENTIAL_BYTES];
    size_t size = decode(value, pair, sizeof pair);
    const struct config_user *known;
    struct auth_job *job;
    struct span whole = span_of(pair, size), name, password, hash;
    unsigned char digest[DIGEST_BYTES];

    name = span_slice(whole, 0, span_find_byte(whole, ':'));
    if (!checker || size == 0 || name.size == size)
        return AUTH_WRONG;
    password = span_from(whole, name.size + 1);
    known = find_user(settings->config, name);
    hash = known ? known->password_hash : nobody;
    digest_of(checker, whole, hash, digest);
    if (known)
        *user = known->name;
    if (known && is_remembered(checker, digest)) { // whatever others may be guessing
        OPENSSL_cleanse(pair, sizeof pair);
        return AUTH_GOOD;
    }
    if (password.size >= PASSWORD_BYTES || hash.size >= HASH_BYTES ||
        checker->waiting >= AUTH_WAITING) {
        OPENSSL_cleanse(pair, sizeof pair);
        return AUTH_WRONG;
    }

    job = calloc(1, sizeof *job);
    if (!job)
        abort(); // out of memory ends the worker; the master starts another
    memcpy(job->digest, digest, sizeof job->digest);
    memcpy(job->password, password.at, password.size);
    memcpy(job->hash, hash.at, hash.size);
    OPENSSL_cleanse(pair, sizeof pair);
    job->question = question;
    question->job = job;
    question->has_delay = false;
    hand_to_thread(checker, job);
    return AUTH_LATER;
}

void auth_cancel(struct proxy *proxy, struct auth_question *question)
{
    (void)proxy;
    if (question->job)
        question->job->question = NULL;
    question->job = NULL;
    if (question->has_delay)
        loop_timer_stop(&question->delay);
    question->has_delay = false;
}
