#include "proxy/stubs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/keep.h"

#define USUAL                                                                                      \
    "/usr/share/mozilla/extensions/{ec8030f7-c20a-464f-9b0e-13a3a9e97384}/"                        \
    "uBlock0@raymondhill.net/web_accessible_resources"

#define JS "text/javascript; charset=utf-8"

/* Aliases are separated by blanks. `built_in` is used when the file is not there. */
static const struct row {
    const char *file, *aliases, *content_type;
    const char *built_in;
    size_t built_in_size;
} rows[] = {
#define BUILT_IN(text) text, sizeof(text) - 1
    { "1x1.gif", "1x1-transparent.gif", "image/gif",
      BUILT_IN(
          "GIF89a\1\0\1\0\200\0\0\0\0\0\0\0\0!\371\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;") },
    { "2x2.png", "2x2-transparent.png", "image/png", NULL, 0 },
    { "3x2.png", "3x2-transparent.png", "image/png", NULL, 0 },
    { "32x32.png", "32x32-transparent.png", "image/png", NULL, 0 },
    { "amazon_ads.js", "amazon-adsystem.com/aax2/amzn_ads.js", JS, NULL, 0 },
    { "amazon_apstag.js", "amazon-apstag", JS, NULL, 0 },
    { "ampproject_v0.js", "ampproject.org/v0.js", JS, NULL, 0 },
    { "chartbeat.js", "static.chartbeat.com/chartbeat.js", JS, NULL, 0 },
    { "click2load.html", "", "text/html; charset=utf-8", NULL, 0 },
    { "doubleclick_instream_ad_status.js", "doubleclick.net/instream/ad_status.js", JS, NULL, 0 },
    { "empty", "", "text/plain; charset=utf-8", BUILT_IN("") },
    { "fingerprint2.js", "", JS, NULL, 0 },
    { "fingerprint3.js", "", JS, NULL, 0 },
    { "google-analytics_analytics.js",
      "google-analytics.com/analytics.js googletagmanager_gtm.js googletagmanager.com/gtm.js "
      "google-analytics googletagmanager-gtm",
      JS, NULL, 0 },
    { "google-analytics_cx_api.js", "google-analytics.com/cx/api.js", JS, NULL, 0 },
    { "google-analytics_ga.js", "google-analytics.com/ga.js google-analytics-ga", JS, NULL, 0 },
    { "google-analytics_inpage_linkid.js", "google-analytics.com/inpage_linkid.js", JS, NULL, 0 },
    { "google-ima.js", "google-ima3", JS, NULL, 0 },
    { "googlesyndication_adsbygoogle.js",
      "googlesyndication.com/adsbygoogle.js googlesyndication-adsbygoogle", JS, NULL, 0 },
    { "googletagservices_gpt.js", "googletagservices.com/gpt.js googletagservices-gpt", JS, NULL,
      0 },
    { "hd-main.js", "", JS, NULL, 0 },
    { "nobab.js", "bab-defuser.js prevent-bab.js", JS, NULL, 0 },
    { "nobab2.js", "", JS, NULL, 0 },
    { "noeval.js", "", JS, NULL, 0 },
    { "noeval-silent.js", "silent-noeval.js", JS, NULL, 0 },
    { "nofab.js", "fuckadblock.js-3.2.0", JS, NULL, 0 },
    { "noop-0.1s.mp3", "noopmp3-0.1s abp-resource:blank-mp3", "audio/mpeg", NULL, 0 },
    { "noop-0.5s.mp3", "", "audio/mpeg", NULL, 0 },
    { "noop-1s.mp4", "noopmp4-1s abp-resource:blank-mp4", "video/mp4", NULL, 0 },
    { "noop.css", "noopcss blank-css abp-resource:blank-css", "text/css; charset=utf-8",
      BUILT_IN("") },
    { "noop.html", "noopframe blank-html abp-resource:blank-html", "text/html; charset=utf-8",
      BUILT_IN("<!DOCTYPE html>") },
    { "noop.js", "noopjs blank-js abp-resource:blank-js", JS, BUILT_IN("(function() {\n})();\n") },
    { "noop.json", "noopjson", "application/json; charset=utf-8", BUILT_IN("{}") },
    { "noop.txt", "nooptext blank-text abp-resource:blank-text", "text/plain; charset=utf-8",
      BUILT_IN("\n") },
    { "noop-vast2.xml", "noopvast-2.0", "text/xml; charset=utf-8", NULL, 0 },
    { "noop-vast3.xml", "noopvast-3.0", "text/xml; charset=utf-8", NULL, 0 },
    { "noop-vast4.xml", "noopvast-4.0", "text/xml; charset=utf-8", NULL, 0 },
    { "noop-vmap1.xml", "noop-vmap1.0.xml noopvmap-1.0", "text/xml; charset=utf-8", NULL, 0 },
    { "outbrain-widget.js", "widgets.outbrain.com/outbrain.js", JS, NULL, 0 },
    { "popads.js", "popads.net.js prevent-popads-net.js", JS, NULL, 0 },
    { "popads-dummy.js", "", JS, NULL, 0 },
    { "prebid-ads.js", "prebid-ads", JS, NULL, 0 },
    { "scorecardresearch_beacon.js", "scorecardresearch.com/beacon.js scorecardresearch-beacon", JS,
      NULL, 0 },
#undef BUILT_IN
};
enum { ROWS = sizeof rows / sizeof *rows };

struct stubs {
    struct buffer files[ROWS];
    bool is_there[ROWS];
};

static bool read_file(struct buffer *out, const char *directory, const char *name)
{
    char path[PATH_MAX];
    enum error_kind kind;
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    out->limit_bytes = STUB_BYTES;
    kind = keep_read_open(fd, path, out, NULL);
    close(fd);
    if (kind != ERROR_NONE)
        buffer_release(out); // unreadable, or larger than any stub is
    return kind == ERROR_NONE;
}

struct stubs *stubs_read(const char *directory)
{
    struct stubs *stubs = calloc(1, sizeof *stubs);

    if (!stubs)
        abort(); // out of memory
    for (size_t i = 0; i < ROWS; i++)
        stubs->is_there[i] =
            read_file(&stubs->files[i], directory ? directory : USUAL, rows[i].file);
    return stubs;
}

void stubs_free(struct stubs **stubs)
{
    if (!*stubs)
        return;
    for (size_t i = 0; i < ROWS; i++)
        buffer_release(&(*stubs)->files[i]);
    free(*stubs);
    *stubs = NULL;
}

static bool has_name(const struct row *row, struct span name)
{
    struct span aliases = span_text(row->aliases);

    if (span_equal(name, span_text(row->file)))
        return true;
    while (aliases.size) {
        size_t end = span_find_byte(aliases, ' ');
        if (span_equal(name, span_slice(aliases, 0, end)))
            return true;
        aliases = span_from(aliases, end < aliases.size ? end + 1 : end);
    }
    return false;
}

/* "noop.js:100": the number is a priority. */
static struct span without_priority(struct span name)
{
    size_t at = name.size;

    while (at > 0 && ((name.at[at - 1] >= '0' && name.at[at - 1] <= '9') || name.at[at - 1] == '-'))
        at--;
    if (at > 1 && at < name.size && name.at[at - 1] == ':')
        name.size = at - 1;
    return name;
}

bool stubs_find(const struct stubs *stubs, struct span name, struct stub *out)
{
    name = without_priority(name);
    if (span_starts(name, SPAN("ubo-")))
        name = span_from(name, 4);
    for (size_t i = 0; i < ROWS; i++) {
        if (!has_name(&rows[i], name))
            continue;
        if (stubs && stubs->is_there[i])
            out->bytes = buffer_span(&stubs->files[i]);
        else if (rows[i].built_in)
            out->bytes = span_of(rows[i].built_in, rows[i].built_in_size);
        else
            return false;
        out->content_type = span_text(rows[i].content_type);
        return true;
    }
    return false;
}
