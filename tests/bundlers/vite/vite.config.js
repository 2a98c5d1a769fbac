import { defineConfig } from 'vite';

export default defineConfig({
  build: {
    target: 'es2022',
    rolldownOptions: { input: ['index.html', 'external.html', 'url.html'] },
    // the builds inside 'wattn' make one large chunk
    chunkSizeWarningLimit: 1000,
  },
});
