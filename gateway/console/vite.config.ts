/** Two pages from one source tree: `index.html` (sign-in, then the console) and `terminal.html`. */
import vue from "@vitejs/plugin-vue"
import { defineConfig } from "vite"

export default defineConfig({
  plugins: [vue()],
  base: "/",
  build: {
    target: "es2021",
    assetsInlineLimit: 0, // the content security policy allows no inline scripts or fonts
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
    rollupOptions: { input: { index: "index.html", terminal: "terminal.html", print: "print.html" } },
  },
})
