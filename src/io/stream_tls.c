#include "io/stream_tls.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdlib.h>

enum { RECORD_BYTES = 16384 };

/*
 *     owner  <->  struct stream (above)  <->  struct layer  <->  SSL  <->  BIO  <->  below
 *
 * The BIO takes every byte that OpenSSL writes: what the stream below does not take is kept in
 * `unsent`, so that a write is never half done and need not be tried again with the same bytes.
 */
struct layer {
    struct loop_grave grave; // first: the layer is dug by it
    struct stream below;
    struct stream *above; // NULL once it only flushes
    SSL *ssl;             // NULL then
    void (*on_shaken)(void *owner, const struct stream_tls_failure *failure); // while shaking hands
    struct buffer unsent;
    struct buffer replay; // read before; played from `replayed` on
    size_t replayed;
    struct loop_task again; // raises on_readable() for what OpenSSL holds, or begins the handshake
    struct flush *flush;    // while it flushes without an owner
    int lost_errno;         // the stream below is lost
    int alert;
    bool alert_is_ours;
    bool below_has_ended;
    bool has_failed;  // nothing more may be asked of the SSL
    bool is_starved;  // what OpenSSL holds is no whole record
    bool was_stopped; // by a callback
    bool was_shut;    // close_notify is sent, or in unsent
    bool certificate_was_sent;
    bool has_stash; // an outcome that a read has seen behind its bytes
    enum stream_outcome stash;
    int stash_errno;
};

struct flush { // a layer without an owner
    struct loop_guest guest;
    struct loop_timer deadline;
    struct layer *layer;
    enum stream_ending ending;
};

static const struct stream_ops tls_ops;

static struct layer *layer_of(const struct stream *stream)
{
    return stream->layer;
}

/* ---- below: the BIO ---- */

static int bio_read(BIO *bio, char *at, int size)
{
    struct layer *layer = BIO_get_data(bio);
    size_t got = 0, left = layer->replay.size - layer->replayed;

    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    if (left > 0) {
        got = left < (size_t)size ? left : (size_t)size;
        memcpy(at, layer->replay.at + layer->replayed, got);
        layer->replayed += got;
        if (got == left) {
            buffer_release(&layer->replay);
            layer->replayed = 0;
        }
        return (int)got;
    }
    switch (stream_read(&layer->below, at, (size_t)size, &got)) {
    case STREAM_OK:
        return (int)got;
    case STREAM_WAIT:
        BIO_set_retry_read(bio);
        return -1;
    case STREAM_END:
        layer->below_has_ended = true;
        return 0;
    default:
        layer->lost_errno = errno ? errno : ECONNRESET;
        return -1;
    }
}

static enum stream_outcome flush(struct layer *layer)
{
    enum stream_outcome outcome = STREAM_OK;

    while (layer->unsent.size && outcome == STREAM_OK) {
        struct iovec part = { layer->unsent.at, layer->unsent.size };
        size_t put = 0;

        outcome = stream_write(&layer->below, &part, 1, &put);
        if (outcome == STREAM_OK)
            buffer_consume(&layer->unsent, put);
    }
    if (outcome == STREAM_LOST)
        layer->lost_errno = errno ? errno : ECONNRESET;
    if (layer->unsent.size == 0 || outcome == STREAM_LOST)
        buffer_release(&layer->unsent);
    return outcome;
}

static int bio_write(BIO *bio, const char *at, int size)
{
    struct layer *layer = BIO_get_data(bio);
    struct iovec part = { (void *)at, (size_t)size };
    size_t put = 0;

    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    if (layer->unsent.size == 0) {
        switch (stream_write(&layer->below, &part, 1, &put)) {
        case STREAM_LOST:
            layer->lost_errno = errno ? errno : ECONNRESET;
            return -1;
        default:
            break;
        }
    }
    if (put == (size_t)size)
        return size;
    if (!buffer_append(&layer->unsent, span_of(at + put, (size_t)size - put))) {
        if (put > 0) // the limit is above the largest record, so unsent was not empty
            abort();
        BIO_set_retry_write(bio);
        return -1;
    }
    return size;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* OpenSSL wants its table of functions on the heap; it is made once for the process and never
 * changes after. */
static const BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *method;

    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
        if (!method || !BIO_meth_set_read(method, bio_read) ||
            !BIO_meth_set_write(method, bio_write) || !BIO_meth_set_ctrl(method, bio_control))
            abort();
    }
    return method;
}

/* ---- what is watched ---- */

static bool has_more(const struct layer *layer)
{
    return layer->has_stash ||
           (!layer->is_starved && !layer->has_failed &&
            (layer->replayed < layer->replay.size || SSL_has_pending(layer->ssl)));
}

/* What the stream below must tell; `needed` is what the handshake waits for. */
static void watch(struct layer *layer, int needed)
{
    if (layer->above && !layer->on_shaken)
        needed |= layer->above->wanted;
    if (layer->unsent.size)
        needed |= STREAM_WRITE;
    stream_want(&layer->below, needed);
}

static void tls_want(struct stream *stream, int events)
{
    struct layer *layer = layer_of(stream);

    stream->wanted = events;
    if (layer->on_shaken)
        return;
    watch(layer, 0);
    if ((events & STREAM_READ) && has_more(layer))
        loop_later(stream->loop, &layer->again);
}

/* ---- how it ends ---- */

/* OpenSSL tells of alerts here, and of each step of a handshake. */
static void on_info(const SSL *ssl, int where, int value)
{
    struct layer *layer = SSL_get_app_data(ssl);

    if ((where & SSL_CB_LOOP) && SSL_get_state(ssl) == TLS_ST_SW_CERT)
        layer->certificate_was_sent = true;
    if (!(where & SSL_CB_ALERT) || layer->alert >= 0)
        return;
    switch (value & 0xff) {
    case SSL_AD_CLOSE_NOTIFY:
    case SSL_AD_USER_CANCELLED:
    case SSL_AD_NO_RENEGOTIATION:
        return; // these end nothing
    default:
        layer->alert = value & 0xff;
        layer->alert_is_ours = where & SSL_CB_WRITE;
    }
}

static enum stream_tls_ending ending_of(const struct layer *layer)
{
    if (layer->alert >= 0 && !layer->alert_is_ours)
        return STREAM_TLS_ALERT_FROM_PEER;
    if (layer->alert >= 0)
        return STREAM_TLS_ALERT_FROM_US;
    if (layer->below_has_ended && layer->has_failed)
        return STREAM_TLS_CLOSED;
    if (layer->lost_errno)
        return STREAM_TLS_LOST;
    if (layer->was_stopped)
        return STREAM_TLS_STOPPED;
    return layer->has_failed ? STREAM_TLS_BROKEN : STREAM_TLS_WHOLE;
}

enum stream_tls_ending stream_tls_ending(const struct stream *stream, int *alert)
{
    const struct layer *layer = layer_of(stream);

    assert(stream->ops == &tls_ops);
    if (alert)
        *alert = layer->alert;
    return ending_of(layer);
}

const char *stream_tls_alert_name(int alert)
{
    return SSL_alert_desc_string_long(alert);
}

static enum error_kind describe(const struct layer *layer, enum stream_tls_ending ending,
                                struct error *error)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    switch (ending) {
    case STREAM_TLS_ALERT_FROM_PEER:
        return error_set(error, ERROR_TLS, "the peer's alert: %s",
                         stream_tls_alert_name(layer->alert));
    case STREAM_TLS_ALERT_FROM_US:
        return error_set(error, ERROR_TLS, "%s (our alert: %s)", reason ? reason : "refused",
                         stream_tls_alert_name(layer->alert));
    case STREAM_TLS_CLOSED:
        return error_set(error, ERROR_LOST, "closed within the TLS handshake");
    case STREAM_TLS_LOST:
        errno = layer->lost_errno;
        return error_errno(error, ERROR_LOST, "lost within the TLS handshake");
    case STREAM_TLS_STOPPED:
        return error_set(error, ERROR_TLS, "the TLS handshake was stopped");
    default:
        return error_set(error, ERROR_TLS, "%s", reason ? reason : "the TLS handshake broke");
    }
}

/* Writes errno for STREAM_LOST. */
static enum stream_outcome fail(struct layer *layer)
{
    layer->has_failed = true;
    if (layer->above)
        layer->above->has_ended = true;
    switch (ending_of(layer)) {
    case STREAM_TLS_LOST:
        errno = layer->lost_errno;
        break;
    case STREAM_TLS_CLOSED:
        errno = ECONNABORTED;
        break;
    default:
        errno = EPROTO;
    }
    return STREAM_LOST;
}

/* ---- bytes ---- */

static enum stream_outcome outcome_of(struct layer *layer, int result)
{
    switch (SSL_get_error(layer->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: // an answer of OpenSSL's own must go out first
        layer->is_starved = true;
        return STREAM_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        if (layer->above)
            layer->above->has_ended = true;
        return STREAM_END;
    default:
        return fail(layer);
    }
}

static enum stream_outcome read_once(struct layer *layer, char *at, size_t size, size_t *got)
{
    int result;

    if (layer->has_failed)
        return fail(layer);
    ERR_clear_error();
    result = SSL_read(layer->ssl, at, size > INT_MAX ? INT_MAX : (int)size);
    if (result <= 0)
        return outcome_of(layer, result);
    *got = (size_t)result;
    return STREAM_OK;
}

/* As many records as there are and fit; what stands behind them is told at the next read. */
static enum stream_outcome read_records(struct layer *layer, char *at, size_t size, size_t *got)
{
    enum stream_outcome outcome;
    size_t now = 0;

    if (layer->has_stash) {
        layer->has_stash = false;
        errno = layer->stash_errno;
        return layer->stash;
    }
    outcome = read_once(layer, at, size, got);
    while (outcome == STREAM_OK && *got < size && SSL_has_pending(layer->ssl)) {
        enum stream_outcome next = read_once(layer, at + *got, size - *got, &now);

        if (next == STREAM_OK) {
            *got += now;
            continue;
        }
        if (next != STREAM_WAIT) {
            layer->has_stash = true;
            layer->stash = next;
            layer->stash_errno = errno;
        }
        break;
    }
    return outcome;
}

static enum stream_outcome tls_read(struct stream *stream, char *at, size_t size, size_t *got)
{
    struct layer *layer = layer_of(stream);
    enum stream_outcome outcome;
    int code;

    assert(size > 0);
    if (layer->on_shaken)
        return STREAM_WAIT;
    outcome = read_records(layer, at, size, got);
    code = errno;
    watch(layer, 0); // a read may have written: the answer to a key update
    if ((stream->wanted & STREAM_READ) && has_more(layer))
        loop_later(stream->loop, &layer->again);
    errno = code;
    return outcome;
}

/* The next record's bytes: where they are, or joined in `joined` where they are scattered. */
struct cursor {
    const struct iovec *part;
    int left;      // parts, with this one
    size_t offset; // in it
};

static struct span next_record(struct cursor *cursor, char *joined)
{
    struct span record = SPAN_NONE;
    size_t size = 0;

    while (cursor->left && cursor->offset == cursor->part->iov_len) {
        cursor->part++;
        cursor->left--;
        cursor->offset = 0;
    }
    if (!cursor->left)
        return record;
    record = span_of((char *)cursor->part->iov_base + cursor->offset,
                     cursor->part->iov_len - cursor->offset);
    if (record.size >= RECORD_BYTES || cursor->left == 1) {
        if (record.size > RECORD_BYTES)
            record.size = RECORD_BYTES;
        cursor->offset += record.size;
        return record;
    }
    while (cursor->left && size < RECORD_BYTES) {
        size_t more = cursor->part->iov_len - cursor->offset;

        if (more > RECORD_BYTES - size)
            more = RECORD_BYTES - size;
        if (more > 0)
            memcpy(joined + size, (char *)cursor->part->iov_base + cursor->offset, more);
        size += more;
        cursor->offset += more;
        if (cursor->offset == cursor->part->iov_len) {
            cursor->part++;
            cursor->left--;
            cursor->offset = 0;
        }
    }
    return span_of(joined, size);
}

/* Whole records until the stream below takes no more. What OpenSSL has taken counts as put. */
static enum stream_outcome write_records(struct layer *layer, struct cursor cursor, size_t *put)
{
    char joined[RECORD_BYTES];
    size_t total = 0;

    while (layer->unsent.size == 0) {
        struct span record = next_record(&cursor, joined);
        int result;

        if (record.size == 0)
            break;
        ERR_clear_error();
        result = SSL_write(layer->ssl, record.at, (int)record.size);
        if (result <= 0) {
            enum stream_outcome outcome = total ? STREAM_OK : outcome_of(layer, result);

            // A loss is told at the next call, where bytes have been put in this one.
            if (total == 0)
                return outcome == STREAM_END ? fail(layer) : outcome;
            break;
        }
        total += (size_t)result;
    }
    *put = total;
    return total ? STREAM_OK : STREAM_WAIT;
}

static enum stream_outcome tls_write(struct stream *stream, const struct iovec *parts, int count,
                                     size_t *put)
{
    struct layer *layer = layer_of(stream);
    enum stream_outcome outcome;
    int code;

    assert(count > 0);
    if (layer->on_shaken)
        return STREAM_WAIT;
    if (layer->has_failed || (layer->unsent.size && flush(layer) == STREAM_LOST))
        return fail(layer);
    outcome = layer->unsent.size
                  ? STREAM_WAIT
                  : write_records(layer, (struct cursor){ .part = parts, .left = count }, put);
    code = errno;
    watch(layer, 0);
    errno = code;
    return outcome;
}

/* ---- the handshake ---- */

static void end_handshake(struct layer *layer, bool well)
{
    void (*on_shaken)(void *, const struct stream_tls_failure *) = layer->on_shaken;
    struct stream_tls_failure failure = { .alert = -1 };

    if (!well) {
        failure.ending = ending_of(layer);
        failure.alert = layer->alert;
        failure.certificate_was_sent = layer->certificate_was_sent;
        describe(layer, failure.ending, &failure.error);
    }
    ERR_clear_error();
    layer->on_shaken = NULL;
    watch(layer, 0);
    if (well && (layer->above->wanted & STREAM_READ) && has_more(layer))
        loop_later(layer->above->loop, &layer->again);
    on_shaken(layer->above->owner, well ? NULL : &failure);
}

static void shake_on(struct layer *layer)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(layer->ssl);
    if (result == 1) {
        end_handshake(layer, true);
        return;
    }
    switch (SSL_get_error(layer->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        watch(layer, STREAM_READ);
        return;
    case SSL_ERROR_WANT_WRITE:
        watch(layer, STREAM_WRITE);
        return;
    case SSL_ERROR_WANT_X509_LOOKUP:
        layer->was_stopped = true;
        break;
    default:
        break;
    }
    layer->has_failed = true;
    layer->above->has_ended = layer->below_has_ended || layer->lost_errno;
    end_handshake(layer, false);
}

void stream_tls_shake_hands(struct stream *stream,
                            void (*on_shaken)(void *owner,
                                              const struct stream_tls_failure *failure))
{
    struct layer *layer = layer_of(stream);

    assert(stream->ops == &tls_ops && !layer->on_shaken && !layer->has_failed);
    layer->on_shaken = on_shaken;
    loop_later(stream->loop, &layer->again);
}

/* ---- events ---- */

static void raise_readable(struct layer *layer)
{
    struct stream *above = layer->above;

    // Again, unless the owner takes it all; it may also be gone when the call returns.
    if (has_more(layer))
        loop_later(above->loop, &layer->again);
    above->events->on_readable(above->owner);
}

static void on_again(void *owner)
{
    struct layer *layer = owner;

    if (layer->on_shaken)
        shake_on(layer);
    else if ((layer->above->wanted & STREAM_READ) && has_more(layer))
        raise_readable(layer);
}

static void on_below_readable(void *owner)
{
    struct layer *layer = owner;

    if (!layer->above)
        return;
    layer->is_starved = false;
    if (layer->on_shaken)
        shake_on(layer);
    else if (layer->above->wanted & STREAM_READ)
        raise_readable(layer);
    else
        watch(layer, 0);
}

static void end_flush(struct layer *layer);

static void on_below_writable(void *owner)
{
    struct layer *layer = owner;
    enum stream_outcome outcome = flush(layer);
    struct stream *above = layer->above;

    if (!above) {
        if (outcome != STREAM_WAIT)
            end_flush(layer);
        return;
    }
    if (outcome == STREAM_WAIT)
        return;
    if (layer->was_shut && outcome == STREAM_OK)
        stream_shutdown(&layer->below);
    if (layer->on_shaken) {
        shake_on(layer);
        return;
    }
    layer->is_starved = false;
    if ((above->wanted & STREAM_READ) && has_more(layer))
        loop_later(above->loop, &layer->again);
    watch(layer, 0);
    if (above->wanted & STREAM_WRITE)
        above->events->on_writable(above->owner);
    else if (outcome == STREAM_LOST && (above->wanted & STREAM_READ))
        above->events->on_readable(above->owner); // who reads, hears that it is lost
}

static const struct stream_events below_events = { on_below_readable, on_below_writable };

/* ---- endings ---- */

static void dig(struct loop_grave *grave)
{
    free(grave);
}

static void free_layer(struct layer *layer)
{
    buffer_release(&layer->unsent);
    buffer_release(&layer->replay);
    SSL_free(layer->ssl);
    loop_bury(layer->below.loop, &layer->grave, dig);
}

/* close_notify, once, where it may be sent at all. */
static void say_goodbye(struct layer *layer)
{
    if (layer->was_shut || layer->has_failed || !SSL_is_init_finished(layer->ssl))
        return;
    layer->was_shut = true;
    ERR_clear_error();
    SSL_shutdown(layer->ssl);
    ERR_clear_error();
}

static void tls_shutdown(struct stream *stream)
{
    struct layer *layer = layer_of(stream);

    say_goodbye(layer);
    layer->was_shut = true;
    if (layer->unsent.size)
        watch(layer, 0);
    else
        stream_shutdown(&layer->below);
}

static void end_below(struct stream *below, enum stream_ending ending)
{
    switch (ending) {
    case STREAM_IN_ORDER:
        stream_close(below);
        break;
    case STREAM_LINGERING:
        stream_linger(below);
        break;
    case STREAM_BY_RESET:
        stream_reset(below);
    }
}

static void end_flush(struct layer *layer)
{
    struct flush *job = layer->flush;

    loop_guest_leave(layer->below.loop, &job->guest);
    loop_timer_stop(&job->deadline);
    end_below(&layer->below, layer->unsent.size ? STREAM_BY_RESET : job->ending);
    free(job);
    free_layer(layer);
}

static void on_flush_deadline(void *owner)
{
    end_flush(owner);
}

static void evict(struct loop_guest *guest)
{
    end_flush(((struct flush *)guest)->layer);
}

/* The owner is gone, and bytes are still to be sent. */
static void flush_alone(struct layer *layer, enum stream_ending ending)
{
    struct loop *loop = layer->below.loop;
    struct flush *job = calloc(1, sizeof *job);

    if (!job)
        abort();
    SSL_free(layer->ssl);
    layer->ssl = NULL;
    job->layer = layer;
    job->ending = ending;
    layer->flush = job;
    loop_guest_enter(loop, &job->guest, evict);
    loop_timer_init(&job->deadline, loop, on_flush_deadline, layer);
    loop_timer_set(&job->deadline, STREAM_TLS_FLUSH_MS);
    stream_want(&layer->below, STREAM_WRITE);
}

static void tls_close(struct stream *stream, enum stream_ending ending)
{
    struct layer *layer = layer_of(stream);

    loop_later_cancel(stream->loop, &layer->again);
    if (ending != STREAM_BY_RESET)
        say_goodbye(layer);
    layer->above = NULL;
    layer->on_shaken = NULL;
    stream->ops = NULL;
    stream->layer = NULL;
    stream->fd = -1;
    stream->wanted = 0;
    if (ending != STREAM_BY_RESET && layer->unsent.size && !layer->lost_errno &&
        stream->loop->guest_count < STREAM_LINGERERS) {
        flush_alone(layer, ending);
        return;
    }
    end_below(&layer->below, layer->unsent.size ? STREAM_BY_RESET : ending);
    free_layer(layer);
}

static void tls_move(struct stream *to, struct stream *from)
{
    struct layer *layer = layer_of(to);

    (void)from;
    assert(!layer->on_shaken);
    layer->above = to;
    watch(layer, 0);
}

static const struct stream_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .want = tls_want,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .move = tls_move,
};

/* ---- beginnings ---- */

void stream_init_tls(struct stream *stream, struct stream *below, SSL **ssl, struct span replay,
                     const struct stream_events *events, void *owner)
{
    struct layer *layer = calloc(1, sizeof *layer);
    struct loop *loop = below->loop;
    BIO *bio = BIO_new(bio_method());

    if (!layer || !bio)
        abort();
    layer->alert = -1;
    layer->ssl = *ssl;
    *ssl = NULL;
    layer->unsent.limit_bytes = STREAM_TLS_UNSENT_BYTES;
    layer->replay.limit_bytes = replay.size;
    buffer_append(&layer->replay, replay);
    layer->again = (struct loop_task){ .run = on_again, .owner = layer };
    stream_hand_over(&layer->below, below, &below_events, layer);
    *stream = (struct stream){ .ops = &tls_ops,
                               .loop = loop,
                               .events = events,
                               .owner = owner,
                               .fd = layer->below.fd,
                               .layer = layer };
    layer->above = stream;

    BIO_set_data(bio, layer);
    BIO_set_init(bio, 1);
    SSL_set_bio(layer->ssl, bio, bio);
    SSL_set_app_data(layer->ssl, layer);
    SSL_set_info_callback(layer->ssl, on_info);
    SSL_set_mode(layer->ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_set_read_ahead(layer->ssl, 1);
    SSL_set_options(layer->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}

SSL *stream_tls_ssl(const struct stream *stream)
{
    return stream->ops == &tls_ops ? layer_of(stream)->ssl : NULL;
}
