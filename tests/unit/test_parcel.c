/* Texts in sealed memory: whole, sealed, within their limits; a config's sources as one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/parcel.h"

static void parts_come_out_joined(void **state)
{
    const struct span parts[] = { SPAN("nameserver "), SPAN_NONE, SPAN("127.0.0.1\n") };
    struct span got;
    uint64_t size;
    int fd;

    (void)state;
    assert_int_equal(parcel_pack(&fd, &size, parts, 3, NULL), ERROR_NONE);
    assert_int_equal(size, 21);
    assert_int_equal(parcel_open(&got, fd, size, 21, NULL), ERROR_NONE);
    assert_true(span_equal(got, SPAN("nameserver 127.0.0.1\n")));
    parcel_close(&got);
    assert_int_equal(parcel_open(&got, fd, size, 20, NULL), ERROR_LIMIT);
    assert_int_equal(parcel_open(&got, fd, size + 1, 100, NULL), ERROR_CORRUPT);
    assert_int_equal(parcel_open(&got, fd, size - 1, 100, NULL), ERROR_CORRUPT);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(errno, EPERM);
    close(fd);
}

static void files_are_packed_whole(void **state)
{
    enum { MANY = 200 * 1000 };
    static char many[MANY + 1];
    static const size_t sizes[] = { 0, 1, 65536, 65537, MANY };

    (void)state;
    memset(many, 'x', sizeof many);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int file = memfd_create("test", 0), fd = -1;
        struct span got;
        uint64_t size = 0;

        assert_int_equal(write(file, many, sizes[i]), sizes[i]);
        assert_int_equal(parcel_pack_file(&fd, &size, file, sizes[i], NULL), ERROR_NONE);
        assert_int_equal(ftruncate(file, 0), 0); // what becomes of it later is nothing to us
        assert_int_equal(parcel_open(&got, fd, sizes[i], sizes[i], NULL), ERROR_NONE);
        assert_true(span_equal(got, span_of(many, sizes[i])));
        parcel_close(&got);
        close(fd);
        assert_int_equal(pwrite(file, many, sizes[i] + 1, 0), sizes[i] + 1);
        assert_int_equal(parcel_pack_file(&fd, &size, file, sizes[i], NULL), ERROR_LIMIT);
        close(file);
    }
    assert_int_equal(parcel_pack_file(&(int){ -1 }, &(uint64_t){ 0 }, -1, 1, NULL), ERROR_SYSTEM);
}

static void nothing_is_a_parcel_too(void **state)
{
    struct span got;
    uint64_t size;
    int fd;

    (void)state;
    assert_int_equal(parcel_pack(&fd, &size, NULL, 0, NULL), ERROR_NONE);
    assert_int_equal(parcel_open(&got, fd, 0, 0, NULL), ERROR_NONE);
    assert_int_equal(got.size, 0);
    parcel_close(&got);
    close(fd);
}

static void what_is_not_sealed_is_not_opened(void **state)
{
    int fd = memfd_create("test", MFD_ALLOW_SEALING), ends[2];
    struct span got;

    (void)state;
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(parcel_open(&got, fd, 3, 10, NULL), ERROR_CORRUPT);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(parcel_open(&got, ends[0], 0, 10, NULL), ERROR_CORRUPT);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

/* Packs them and takes them out again; `out` is ended by the caller. */
static void send_sources(const struct config_sources *in, struct config_sources *out)
{
    struct span bytes;
    uint64_t size;
    int fd;

    assert_int_equal(parcel_pack_sources(&fd, &size, in, NULL), ERROR_NONE);
    assert_int_equal(parcel_open(&bytes, fd, size, PARCEL_SOURCES_BYTES, NULL), ERROR_NONE);
    assert_int_equal(parcel_read_sources(out, bytes, NULL), ERROR_NONE);
    parcel_close(&bytes);
    close(fd);
}

static void sources_come_out_as_they_went_in(void **state)
{
    struct config_source items[] = {
        { SPAN("/etc/dejunk/proxy.conf"), SPAN("listen = \"127.0.0.1:8119\"\n") },
        { SPAN("empty"), SPAN("") },
        { SPAN("-D"), span_of("a\0b", 3) },
    };
    struct config_sources in = { .items = items, .count = 3 }, out;

    (void)state;
    send_sources(&in, &out);
    assert_int_equal(out.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(span_equal(out.items[i].name, items[i].name));
        assert_true(span_equal(out.items[i].text, items[i].text));
    }
    config_sources_done(&out);
}

static void sources_that_do_not_add_up_are_refused(void **state)
{
    static const struct {
        const char *name;
        struct span bytes;
        enum error_kind want;
    } cases[] = {
        { "nothing", { "", 0 }, ERROR_SYNTAX },
        { "half a count", { "\0\0\0", 3 }, ERROR_SYNTAX },
        { "none", { "\0\0\0\0", 4 }, ERROR_NONE },
        { "none and a byte", { "\0\0\0\0x", 5 }, ERROR_SYNTAX },
        { "one that is not there", { "\1\0\0\0", 4 }, ERROR_SYNTAX },
        { "half a header", { "\1\0\0\0\0\0\0\0\0\0\0", 11 }, ERROR_SYNTAX },
        { "one, empty", { "\1\0\0\0\0\0\0\0\0\0\0\0", 12 }, ERROR_NONE },
        { "a name too long", { "\1\0\0\0\2\0\0\0\0\0\0\0a", 13 }, ERROR_SYNTAX },
        { "a text too long", { "\1\0\0\0\1\0\0\0\377\377\377\377ab", 14 }, ERROR_SYNTAX },
        { "one too many", { "\1\4\0\0", 4 }, ERROR_LIMIT },
        { "as many as may be, but not there", { "\0\4\0\0", 4 }, ERROR_SYNTAX },
        { "very many", { "\377\377\377\377", 4 }, ERROR_LIMIT },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config_sources out;
        enum error_kind kind = parcel_read_sources(&out, cases[i].bytes, NULL);

        if (kind != cases[i].want)
            fail_msg("%s: got %s", cases[i].name, error_kind_name(kind));
        if (kind == ERROR_NONE)
            config_sources_done(&out);
    }
}

static void sources_have_a_limit_in_all(void **state)
{
    const size_t limit = PARCEL_SOURCES_BYTES - 4 - 8; // the count, one header
    char *text = calloc(1, limit + 1);
    struct config_source item = { SPAN_NONE, span_of(text, limit) };
    struct config_sources in = { .items = &item, .count = 1 }, out;
    uint64_t size;
    int fd;

    (void)state;
    send_sources(&in, &out);
    assert_int_equal(out.items[0].text.size, limit);
    config_sources_done(&out);
    item.text.size = limit + 1;
    assert_int_equal(parcel_pack_sources(&fd, &size, &in, NULL), ERROR_LIMIT);
    free(text);
}

static void sources_have_a_limit_in_number(void **state)
{
    static struct config_source items[PARCEL_SOURCES + 1];
    struct config_sources in = { .items = items, .count = PARCEL_SOURCES }, out;
    uint64_t size;
    int fd;

    (void)state;
    send_sources(&in, &out);
    assert_int_equal(out.count, PARCEL_SOURCES);
    config_sources_done(&out);
    in.count++;
    assert_int_equal(parcel_pack_sources(&fd, &size, &in, NULL), ERROR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_out_joined),
        cmocka_unit_test(files_are_packed_whole),
        cmocka_unit_test(nothing_is_a_parcel_too),
        cmocka_unit_test(what_is_not_sealed_is_not_opened),
        cmocka_unit_test(sources_come_out_as_they_went_in),
        cmocka_unit_test(sources_that_do_not_add_up_are_refused),
        cmocka_unit_test(sources_have_a_limit_in_all),
        cmocka_unit_test(sources_have_a_limit_in_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
