import { startCharts } from "./charts.js";
import { startConfirm } from "./confirm.js";
import { startHtmx } from "./requests.js";
import { startLive } from "./live.js";
import { startPage } from "./page.js";
import { startPasskeys } from "./passkeys.js";
import { startTables } from "./tables.js";
import { startTimes } from "./times.js";
import { startUpload } from "./upload.js";

startHtmx();
startPage();
startConfirm();
startPasskeys();
startTables();
startTimes();
startCharts();
startLive();
startUpload();
