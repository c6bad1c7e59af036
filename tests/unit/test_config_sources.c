/* Main file, drop-ins and settings, as texts in their order; the usual places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/config_sources.h"

static char top[64];

static const char *in_top(const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", top, name);
    return path;
}

static void put(const char *name, const char *text, size_t size)
{
    FILE *file = fopen(in_top(name), "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static int make_top(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/dejunk-test-XXXXXX");
    return mkdtemp(top) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about, (void)type, (void)where;
    return remove(path);
}

static int remove_top(void **state)
{
    (void)state;
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* "NAME=TEXT;" for each source, names without the directory. */
static void expect(const char *name, const char *const *settings, size_t count, const char *want)
{
    struct config_sources sources;
    struct error error;
    char got[1000] = "", path[PATH_MAX];
    size_t used = 0;

    snprintf(path, sizeof path, "%s", in_top(name ? name : ""));
    if (config_sources_read(&sources, name ? path : NULL, settings, count, &error)) {
        snprintf(got, sizeof got, "%s", error.text);
    } else {
        for (size_t i = 0; i < sources.count; i++) {
            struct span from = sources.items[i].name;

            if (span_starts(from, span_text(top)))
                from = span_from(from, strlen(top) + 1);
            used += (size_t)snprintf(got + used, sizeof got - used, "%.*s=%.*s;", SPAN_PRINT(from),
                                     SPAN_PRINT(sources.items[i].text));
        }
        config_sources_done(&sources);
    }
    if (strncmp(got, top, strlen(top)) == 0)
        memmove(got, got + strlen(top) + 1, strlen(got + strlen(top)));
    assert_string_equal(got, want);
}

static void reads_in_order(void **state)
{
    static const char *const settings[] = { "via=no", "x={\"a\"}" };

    (void)state;
    put_text("main.conf", "main");
    expect("main.conf", NULL, 0, "main.conf=main;");
    mkdir(in_top("main.conf.d"), 0700);
    expect("main.conf", NULL, 0, "main.conf=main;");
    put_text("main.conf.d/b.conf", "b");
    put_text("main.conf.d/a.conf", "a");
    put_text("main.conf.d/B.conf", "");
    put_text("main.conf.d/10-x.conf", "ten");
    put_text("main.conf.d/.hidden.conf", "no");
    put_text("main.conf.d/a.conf~", "no");
    put_text("main.conf.d/a.conf.dpkg-old", "no");
    put_text("main.conf.d/.conf", "no");
    put_text("other.conf", "other");
    expect("main.conf", settings, 2,
           "main.conf=main;main.conf.d/10-x.conf=ten;main.conf.d/B.conf=;main.conf.d/a.conf=a;"
           "main.conf.d/b.conf=b;-D=via=\"no\"\nx={\"a\"}\n;");
    expect("other.conf", NULL, 0, "other.conf=other;");
    mkdir(in_top("alone.conf.d"), 0700);
    put_text("alone.conf.d/a.conf", "a");
    expect("alone.conf", NULL, 0, "alone.conf=;alone.conf.d/a.conf=a;");
    expect(NULL, NULL, 0, "");
    expect(NULL, settings, 1, "-D=via=\"no\"\n;");
}

static void quotes_settings(void **state)
{
    static const struct {
        const char *setting, *want;
    } rows[] = {
        { "a=b", "-D=a=\"b\"\n;" },
        { "a=", "-D=a=\"\"\n;" },
        { "a = b c ", "-D=a =\"b c\"\n;" },
        { "a+=b", "-D=a+=\"b\"\n;" },
        { "a=\"b\"", "-D=a=\"b\"\n;" },
        { "a='b'", "-D=a='b'\n;" },
        { "a={b, c}", "-D=a={b, c}\n;" },
        { "a=b=c", "-D=a=\"b=c\"\n;" },
        { "a=b\"\\${c}", "-D=a=\"b\\\"\\\\\\${c}\"\n;" },
        { "a", "-D:1: a setting has the form NAME=VALUE" },
        { "", "-D:1: a setting has the form NAME=VALUE" },
        { "=b", "-D:1: a setting has the form NAME=VALUE" },
        { "a=b\nc=d", "-D:1: a setting is one line" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(NULL, &rows[i].setting, 1, rows[i].want);
}

static void limits_sizes(void **state)
{
    char *text = malloc(CONFIG_SOURCE_BYTES + 1);
    struct config_sources sources;
    struct error error;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', CONFIG_SOURCE_BYTES + 1);
    put("big.conf", text, CONFIG_SOURCE_BYTES);
    assert_int_equal(config_sources_read(&sources, in_top("big.conf"), NULL, 0, &error),
                     ERROR_NONE);
    assert_int_equal(sources.items[0].text.size, CONFIG_SOURCE_BYTES);
    config_sources_done(&sources);
    put("big.conf", text, CONFIG_SOURCE_BYTES + 1);
    expect("big.conf", NULL, 0, "big.conf:1: larger than 1048576 bytes");

    // A setting becomes NAME="VALUE" and a newline: three bytes more.
    text[1] = '=';
    text[CONFIG_SOURCE_BYTES - 3] = '\0';
    assert_int_equal(config_sources_read(&sources, NULL, (const char *const *)&text, 1, &error),
                     ERROR_NONE);
    assert_int_equal(sources.items[0].text.size, CONFIG_SOURCE_BYTES);
    config_sources_done(&sources);
    text[CONFIG_SOURCE_BYTES - 3] = 'x';
    text[CONFIG_SOURCE_BYTES - 2] = '\0';
    expect(NULL, (const char *const *)&text, 1, "-D:1: larger than 1048576 bytes");
    free(text);
}

static void limits_drop_ins(void **state)
{
    (void)state;
    put_text("many.conf", "");
    mkdir(in_top("many.conf.d"), 0700);
    for (int i = 0; i <= CONFIG_DROP_INS; i++) {
        struct config_sources sources;
        struct error error;
        char name[64];

        snprintf(name, sizeof name, "many.conf.d/%03d.conf", i);
        put_text(name, "");
        if (i < CONFIG_DROP_INS - 1)
            continue;
        if (i < CONFIG_DROP_INS) {
            assert_int_equal(config_sources_read(&sources, in_top("many.conf"), NULL, 0, &error),
                             ERROR_NONE);
            assert_int_equal(sources.count, 1 + CONFIG_DROP_INS);
            config_sources_done(&sources);
        } else {
            expect("many.conf", NULL, 0, "many.conf.d: more than 256 files in it");
        }
    }
}

static void tells_what_cannot_be_read(void **state)
{
    (void)state;
    expect("none.conf", NULL, 0, "none.conf: cannot open it: No such file or directory");
    mkdir(in_top("dir.conf"), 0700);
    expect("dir.conf", NULL, 0, "dir.conf: cannot read it: Is a directory");
    put_text("file.conf", "");
    put_text("file.conf.d", "");
    expect("file.conf", NULL, 0, "file.conf.d: cannot read the directory: Not a directory");
    mkdir(in_top("only.conf.d"), 0700);
    expect("only.conf", NULL, 0, "only.conf: cannot open it: No such file or directory");
    put_text("link.conf", "");
    mkdir(in_top("link.conf.d"), 0700);
    assert_int_equal(symlink("nowhere", in_top("link.conf.d/x.conf")), 0);
    expect("link.conf", NULL, 0, "link.conf.d/x.conf: cannot open it: No such file or directory");
}

/* For a user; root's places are words in the source. */
static void knows_the_usual_places(void **state)
{
    char to[PATH_MAX], want[PATH_MAX + 32];

    (void)state;
    assert_int_equal(chmod(top, 0755), 0);
    mkdir(in_top("alone"), 0755);
    mkdir(in_top("alone/dejunk"), 0755);
    mkdir(in_top("alone/dejunk/proxy.conf.d"), 0755);
    put_text("alone/dejunk/proxy.conf.d/one.conf", "");
    setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
    assert_true(config_default_dir(CONFIG_STATE_DIR, to, sizeof to));
    assert_string_equal(to, "/var/lib/one");
    unsetenv("STATE_DIRECTORY");
    unsetenv("RUNTIME_DIRECTORY");
    if (geteuid() == 0) {
        assert_true(config_default_dir(CONFIG_STATE_DIR, to, sizeof to));
        assert_string_equal(to, "/var/lib/dejunk");
        assert_false(config_default_dir(CONFIG_STATE_DIR, to, sizeof "/var/lib/dejunk" - 1));
        config_default_path(to, sizeof to);
        assert_string_equal(to, "/etc/dejunk/proxy.conf");
        if (setegid(65534) != 0 || seteuid(65534) != 0)
            skip();
    }
    setenv("HOME", top, 1);
    setenv("XDG_CONFIG_HOME", "relative", 1);
    assert_false(config_default_path(to, sizeof to));
    snprintf(want, sizeof want, "%s/.config/dejunk/proxy.conf", top);
    assert_string_equal(to, want);
    setenv("XDG_CONFIG_HOME", in_top("alone"), 1); // where there is but a drop-in
    assert_true(config_default_path(to, sizeof to));
    snprintf(want, sizeof want, "%s/alone/dejunk/proxy.conf", top);
    assert_string_equal(to, want);
    setenv("XDG_CONFIG_HOME", "/x", 1);
    assert_true(config_default_dir(CONFIG_RULES_DIR, to, sizeof to));
    assert_string_equal(to, "/x/dejunk/rules.d");
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    assert_true(config_default_dir(CONFIG_RUNTIME_DIR, to, sizeof to));
    assert_string_equal(to, "/run/user/7/dejunk");
    unsetenv("XDG_STATE_HOME");
    assert_true(config_default_dir(CONFIG_STATE_DIR, to, sizeof to));
    snprintf(want, sizeof want, "%s/.local/state/dejunk", top);
    assert_string_equal(to, want);
    unsetenv("HOME");
    assert_false(config_default_dir(CONFIG_STATE_DIR, to, sizeof to));
    assert_string_equal(to, "");
    if (getuid() == 0)
        assert_int_equal(seteuid(0) | setegid(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_in_order),
        cmocka_unit_test(quotes_settings),
        cmocka_unit_test(limits_sizes),
        cmocka_unit_test(limits_drop_ins),
        cmocka_unit_test(tells_what_cannot_be_read),
        cmocka_unit_test(knows_the_usual_places),
    };

    return cmocka_run_group_tests(tests, make_top, remove_top);
}
