import { writeFileSync } from "node:fs";
import { settingsTable } from "./settingsTable";

// Writes docs/settings.md from the schema; a test fails when the two differ.
writeFileSync("docs/settings.md", settingsTable());
