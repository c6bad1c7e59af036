/* resolv.conf and hosts are read, and every way in which such a file changes is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/names.h"

enum { TOO_LATE_MS = 3000 };

struct watcher {
    char directory[64]; // of the test's own, removed at the end
    struct loop *loop;
    struct names *names;
    struct loop_timer too_late;
    unsigned changes;
    uint64_t changed_ms;
};

static void on_changed(void *owner)
{
    struct watcher *watcher = owner;

    watcher->changes++;
    watcher->changed_ms = loop_now_ms(watcher->loop);
    loop_stop(watcher->loop);
}

static void on_too_late(void *owner)
{
    loop_stop(((struct watcher *)owner)->loop);
}

static const char *path_of(const struct watcher *watcher, const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", watcher->directory, name);
    return path;
}

static void put(const struct watcher *watcher, const char *name, const char *text)
{
    FILE *file = fopen(path_of(watcher, name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void move(const struct watcher *watcher, const char *from, const char *to)
{
    assert_int_equal(rename(path_of(watcher, from), path_of(watcher, to)), 0);
}

static void link_to(const struct watcher *watcher, const char *target, const char *name)
{
    unlink(path_of(watcher, name));
    assert_int_equal(symlink(target, path_of(watcher, name)), 0);
}

static void make_dir(const struct watcher *watcher, const char *name)
{
    assert_int_equal(mkdir(path_of(watcher, name), 0700), 0);
}

static void begin(struct watcher *watcher)
{
    *watcher = (struct watcher){ .directory = "/tmp/dejunk-test-names-XXXXXX" };
    assert_non_null(mkdtemp(watcher->directory));
    assert_int_equal(loop_new(&watcher->loop, NULL), ERROR_NONE);
    loop_timer_init(&watcher->too_late, watcher->loop, on_too_late, watcher);
    log_set_level(LOG_LEVEL_ERROR);
}

static void watch_now(struct watcher *watcher, const char *resolv_conf)
{
    watcher->names = names_new(watcher->loop, span_text(path_of(watcher, resolv_conf)),
                               span_text(path_of(watcher, "hosts")), on_changed, watcher);
}

static void end(struct watcher *watcher)
{
    char command[128];

    names_free(&watcher->names);
    loop_timer_stop(&watcher->too_late);
    loop_free(&watcher->loop);
    snprintf(command, sizeof command, "rm -rf %s", watcher->directory);
    assert_int_equal(system(command), 0);
}

/* Lets the loop run until a change is told, or long enough to know that none is. */
static bool is_told(struct watcher *watcher, uint64_t within_ms)
{
    unsigned before = watcher->changes;

    loop_timer_set(&watcher->too_late, within_ms);
    loop_run(watcher->loop);
    loop_timer_stop(&watcher->too_late);
    return watcher->changes > before;
}

static struct span text_of(const struct watcher *watcher, const char *name)
{
    struct names_texts texts = names_texts(watcher->names);

    return strcmp(name, "hosts") == 0 ? texts.hosts : texts.resolv_conf;
}

static bool says(const struct watcher *watcher, const char *resolv_conf)
{
    return span_equal(text_of(watcher, "resolv.conf"), span_text(resolv_conf));
}

/* ---- ways in which a file changes ---- */

static void prepare_file(struct watcher *watcher)
{
    put(watcher, "resolv.conf", "old");
}
static void prepare_nothing(struct watcher *watcher)
{
    (void)watcher;
}
static void prepare_link(struct watcher *watcher)
{
    make_dir(watcher, "run");
    put(watcher, "run/stub.conf", "old");
    link_to(watcher, "run/stub.conf", "resolv.conf");
}
static void prepare_absolute_link(struct watcher *watcher)
{
    make_dir(watcher, "run");
    put(watcher, "run/stub.conf", "old");
    link_to(watcher, path_of(watcher, "run/stub.conf"), "resolv.conf");
}
static void prepare_chain(struct watcher *watcher)
{
    make_dir(watcher, "a");
    make_dir(watcher, "b");
    put(watcher, "b/end", "old");
    link_to(watcher, "../b/./end", "a/middle");
    link_to(watcher, "a//middle", "resolv.conf");
}
static void prepare_linked_directory(struct watcher *watcher)
{
    make_dir(watcher, "one");
    make_dir(watcher, "two");
    put(watcher, "one/stub.conf", "old");
    put(watcher, "two/stub.conf", "new");
    link_to(watcher, "one", "now");
    link_to(watcher, "now/stub.conf", "resolv.conf");
}
static void prepare_dangling(struct watcher *watcher)
{
    link_to(watcher, "later/deep/stub.conf", "resolv.conf");
}

static void write_in_place(struct watcher *watcher)
{
    put(watcher, "resolv.conf", "new");
}
static void rename_over(struct watcher *watcher)
{
    put(watcher, "resolv.new", "new");
    move(watcher, "resolv.new", "resolv.conf");
}
static void rename_target(struct watcher *watcher)
{
    put(watcher, "run/stub.new", "new");
    move(watcher, "run/stub.new", "run/stub.conf");
}
static void write_target(struct watcher *watcher)
{
    put(watcher, "run/stub.conf", "new");
}
static void turn_link(struct watcher *watcher)
{
    put(watcher, "run/other.conf", "new");
    link_to(watcher, "run/other.conf", "resolv.new");
    move(watcher, "resolv.new", "resolv.conf");
}
static void rename_end_of_chain(struct watcher *watcher)
{
    put(watcher, "b/new", "new");
    move(watcher, "b/new", "b/end");
}
static void turn_middle_of_chain(struct watcher *watcher)
{
    put(watcher, "a/other", "new");
    link_to(watcher, "other", "a/middle.new");
    move(watcher, "a/middle.new", "a/middle");
}
static void turn_directory(struct watcher *watcher)
{
    link_to(watcher, "two", "now.new");
    move(watcher, "now.new", "now");
}
static void make_directories(struct watcher *watcher)
{
    make_dir(watcher, "later");
    make_dir(watcher, "later/deep");
    put(watcher, "later/deep/stub.conf", "new");
}
static void remove_and_make(struct watcher *watcher)
{
    assert_int_equal(unlink(path_of(watcher, "resolv.conf")), 0);
    put(watcher, "resolv.conf", "new");
}
static void swap_directories(struct watcher *watcher)
{
    make_dir(watcher, "fresh");
    put(watcher, "fresh/stub.conf", "new");
    move(watcher, "run", "gone");
    move(watcher, "fresh", "run");
}

static void every_kind_of_change_is_told_soon(void **state)
{
    static const struct {
        const char *name;
        void (*prepare)(struct watcher *), (*change)(struct watcher *);
    } cases[] = {
        { "written in place", prepare_file, write_in_place },
        { "replaced by rename", prepare_file, rename_over },
        { "removed and made again", prepare_file, remove_and_make },
        { "made", prepare_nothing, write_in_place },
        { "moved in", prepare_nothing, rename_over },
        { "the target of a link is replaced", prepare_link, rename_target },
        { "the target of a link is written", prepare_link, write_target },
        { "the target of an absolute link", prepare_absolute_link, rename_target },
        { "the link is turned", prepare_link, turn_link },
        { "the end of a chain", prepare_chain, rename_end_of_chain },
        { "the middle of a chain", prepare_chain, turn_middle_of_chain },
        { "a directory on the way is a link, turned", prepare_linked_directory, turn_directory },
        { "directories on the way are made", prepare_dangling, make_directories },
        { "a directory on the way is swapped", prepare_link, swap_directories },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct watcher watcher;

        begin(&watcher);
        cases[i].prepare(&watcher);
        watch_now(&watcher, "resolv.conf");
        if (!says(&watcher,
                  cases[i].prepare == prepare_nothing || cases[i].prepare == prepare_dangling
                      ? ""
                      : "old"))
            fail_msg("%s: at the beginning", cases[i].name);
        cases[i].change(&watcher);
        if (!is_told(&watcher, 900) || !says(&watcher, "new"))
            fail_msg("%s: not told", cases[i].name);
        // and again, as what is watched now is another file
        put(&watcher, "resolv.conf", "newer");
        if (!is_told(&watcher, 900) || !says(&watcher, "newer"))
            fail_msg("%s: the next change is not told", cases[i].name);
        end(&watcher);
    }
}

static void a_removed_file_is_an_empty_one(void **state)
{
    struct watcher watcher;

    (void)state;
    begin(&watcher);
    put(&watcher, "resolv.conf", "old");
    put(&watcher, "hosts", "127.0.0.1 a");
    watch_now(&watcher, "resolv.conf");
    unlink(path_of(&watcher, "hosts"));
    assert_true(is_told(&watcher, 900));
    assert_int_equal(names_texts(watcher.names).hosts.size, 0);
    assert_true(says(&watcher, "old"));
    end(&watcher);
}

/* Workers cannot ask which link is which. */
static void scopes_are_told_as_numbers(void **state)
{
    struct watcher watcher;

    (void)state;
    begin(&watcher);
    put(&watcher, "resolv.conf", "nameserver fe80::1%lo\n");
    watch_now(&watcher, "resolv.conf");
    assert_true(says(&watcher, "nameserver fe80::1%1\n"));
    put(&watcher, "resolv.conf", "nameserver fe80::2%lo\nsearch a.example\n");
    assert_true(is_told(&watcher, 900));
    assert_true(says(&watcher, "nameserver fe80::2%1\nsearch a.example\n"));
    put(&watcher, "resolv.conf", "nameserver fe80::2%1\nsearch a.example\n");
    assert_false(is_told(&watcher, 600)); // to workers the same
    end(&watcher);
}

static void the_same_text_again_is_no_change(void **state)
{
    struct watcher watcher;

    (void)state;
    begin(&watcher);
    put(&watcher, "resolv.conf", "old");
    watch_now(&watcher, "resolv.conf");
    put(&watcher, "resolv.conf", "old");
    put(&watcher, "neighbour", "new");
    assert_false(is_told(&watcher, 600));
    end(&watcher);
}

/* A writer that never rests does not keep its text from us. */
static void steady_writing_is_told_in_time(void **state)
{
    struct watcher watcher;
    unsigned number = 0;
    uint64_t began;

    (void)state;
    begin(&watcher);
    put(&watcher, "resolv.conf", "old");
    watch_now(&watcher, "resolv.conf");
    began = loop_now_ms(watcher.loop);
    while (watcher.changes == 0 && loop_now_ms(watcher.loop) < began + TOO_LATE_MS) {
        char text[16];

        snprintf(text, sizeof text, "%u", number++);
        put(&watcher, "resolv.conf", text);
        is_told(&watcher, NAMES_QUIET_MS / 4);
    }
    assert_int_equal(watcher.changes, 1);
    assert_true(number > 4);
    assert_true(watcher.changed_ms - began < NAMES_PATIENCE_MS + 300);
    end(&watcher);
}

static void files_have_a_limit(void **state)
{
    static const struct {
        const char *name;
        size_t most;
    } files[] = { { "resolv.conf", NAMES_RESOLV_CONF_BYTES }, { "hosts", NAMES_HOSTS_BYTES } };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *text = calloc(files[i].most + 2, 1);
        const struct span most = span_of(text, files[i].most);
        struct watcher watcher;

        assert_non_null(text);
        begin(&watcher);
        memset(text, '#', files[i].most);
        put(&watcher, files[i].name, text);
        watch_now(&watcher, "resolv.conf");
        assert_true(span_equal(text_of(&watcher, files[i].name), most));
        text[files[i].most] = '#'; // one too many: what it said before stays
        put(&watcher, "beside", text);
        move(&watcher, "beside", files[i].name);
        assert_false(is_told(&watcher, 600));
        assert_true(span_equal(text_of(&watcher, files[i].name), most));
        put(&watcher, "beside", "short");
        move(&watcher, "beside", files[i].name);
        assert_true(is_told(&watcher, 900));
        assert_true(span_equal(text_of(&watcher, files[i].name), SPAN("short")));
        end(&watcher);
        free(text);
    }
}

static void what_is_no_file_is_not_read(void **state)
{
    struct watcher watcher;

    (void)state;
    begin(&watcher);
    assert_int_equal(mkfifo(path_of(&watcher, "resolv.conf"), 0600), 0);
    make_dir(&watcher, "hosts");
    watch_now(&watcher, "resolv.conf"); // and does not wait
    assert_true(says(&watcher, ""));
    end(&watcher);
}

static void links_in_a_circle_end(void **state)
{
    struct watcher watcher;

    (void)state;
    begin(&watcher);
    link_to(&watcher, "other", "resolv.conf");
    link_to(&watcher, "resolv.conf", "other");
    watch_now(&watcher, "resolv.conf");
    assert_true(says(&watcher, ""));
    rename_over(&watcher);
    assert_true(is_told(&watcher, 900));
    assert_true(says(&watcher, "new"));
    end(&watcher);
}

/* As many links as the kernel follows, and one more. */
static void links_have_a_limit(void **state)
{
    (void)state;
    for (int links = NAMES_LINKS; links <= NAMES_LINKS + 1; links++) {
        struct watcher watcher;
        char from[16], to[16] = "target";

        begin(&watcher);
        put(&watcher, "target", "old");
        for (int i = 1; i < links; i++) {
            snprintf(from, sizeof from, "link%d", i);
            link_to(&watcher, to, from);
            memcpy(to, from, sizeof to);
        }
        link_to(&watcher, to, "resolv.conf");
        watch_now(&watcher, "resolv.conf");
        assert_true(says(&watcher, links <= NAMES_LINKS ? "old" : ""));
        if (links > NAMES_LINKS) {
            link_to(&watcher, "target", "turned");
            move(&watcher, "turned", from); // the one that resolv.conf leads to
            assert_true(is_told(&watcher, 900));
            assert_true(says(&watcher, "old"));
        }
        put(&watcher, "target", "new");
        assert_true(is_told(&watcher, 900));
        assert_true(says(&watcher, "new"));
        end(&watcher);
    }
}

static void other_paths_are_read_at_once(void **state)
{
    struct watcher watcher;

    (void)state;
    begin(&watcher);
    put(&watcher, "resolv.conf", "old");
    put(&watcher, "second", "second");
    watch_now(&watcher, "resolv.conf");
    assert_true(names_set_paths(watcher.names, span_text(path_of(&watcher, "second")),
                                span_text(path_of(&watcher, "hosts"))));
    assert_true(says(&watcher, "second"));
    assert_false(names_set_paths(watcher.names, span_text(path_of(&watcher, "second")),
                                 span_text(path_of(&watcher, "hosts"))));
    put(&watcher, "resolv.conf", "newer");
    assert_false(is_told(&watcher, 300));
    put(&watcher, "second", "third");
    assert_true(is_told(&watcher, 900));
    end(&watcher);
}

static void relative_paths_begin_here(void **state)
{
    struct watcher watcher;
    char here[PATH_MAX];

    (void)state;
    begin(&watcher);
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(watcher.directory), 0);
    put(&watcher, "resolv.conf", "old");
    watcher.names =
        names_new(watcher.loop, SPAN("resolv.conf"), SPAN("./x/../hosts"), on_changed, &watcher);
    assert_int_equal(chdir(here), 0);
    assert_true(says(&watcher, "old"));
    write_in_place(&watcher);
    assert_true(is_told(&watcher, 900));
    end(&watcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_change_is_told_soon),
        cmocka_unit_test(a_removed_file_is_an_empty_one),
        cmocka_unit_test(scopes_are_told_as_numbers),
        cmocka_unit_test(the_same_text_again_is_no_change),
        cmocka_unit_test(steady_writing_is_told_in_time),
        cmocka_unit_test(files_have_a_limit),
        cmocka_unit_test(what_is_no_file_is_not_read),
        cmocka_unit_test(links_in_a_circle_end),
        cmocka_unit_test(links_have_a_limit),
        cmocka_unit_test(other_paths_are_read_at_once),
        cmocka_unit_test(relative_paths_begin_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
